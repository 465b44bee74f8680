#!/bin/sh
# Posts the alert to a chat or a pager that takes {"text": "…"}, as Slack, Mattermost
# and many others do. ALERT_URL is its address, in the environment of Caddy. Needs
# curl and jq. What comes from outside is data here, and never a command.
jq -cn --arg text "webhooks: $1 $2: $3" '{text: $text}' |
	curl --silent --show-error --fail --max-time 20 --retry 3 --retry-connrefused --header 'Content-Type: application/json' --data-binary @- "$ALERT_URL"
