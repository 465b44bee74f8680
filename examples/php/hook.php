<?php
// The legacy application: it appends what it gets to a file.
file_put_contents(
    __DIR__ . '/received.txt',
    $_SERVER['HTTP_WEBHOOK_EVENT_ID'] . ' ' . file_get_contents('php://input') . "\n",
    FILE_APPEND | LOCK_EX
);
http_response_code(204);
