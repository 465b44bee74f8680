#!/bin/sh
# Says in words that too much waits, and hands them to the script that the first
# argument names. What follows are the event's data, of which each kind has its own.
tell=$1 why=$2 source=$3 destination=$4 bytes=$5 most=$6 percent=$7 pending=$8 seconds=$9
case $why in
bytes)
	where=${source:-all sources}
	words="$bytes bytes wait, $percent % of the $most that may; beyond that webhooks are answered 503"
	;;
*)
	where=$source/$destination
	words="$pending events wait, the oldest for $seconds s"
	;;
esac
exec "$tell" backlog "$where" "$words"
