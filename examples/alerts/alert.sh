#!/bin/sh
# Tells somebody. Here it writes a line; put your pager's command in its place.
printf '%s %s: %s\n' "$1" "$2" "$3" >>alerts.log
