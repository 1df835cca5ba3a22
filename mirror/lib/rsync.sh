# shellcheck shell=sh
# How rsync is called for distfiles and for the tree. Sourced.

# run_rsync SOURCE OPTION...: with the time limits that fit the source, and the user's own options.
run_rsync() {
	from=$1
	shift
	case $from in
	# Only a daemon is connected to by rsync itself.
	rsync://* | *::*) set -- --contimeout="$RSYNC_CONNECT_TIMEOUT" "$@" ;;
	esac
	# shellcheck disable=SC2086 # options, as many as there are
	rsync --timeout="$RSYNC_TIMEOUT" --no-motd $RSYNC_OPTIONS "$@"
}
