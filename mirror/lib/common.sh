# shellcheck shell=sh
# What the mirror's scripts share: the configuration, messages, the lock, the figures. Sourced.

# How a script ended. Its --help lists them.
STATUS_FAILED=1
STATUS_USAGE=2
STATUS_INCOMPLETE=3
STATUS_UNVERIFIED=4
STATUS_FULL=5
STATUS_BUSY=75

PROGRAM=${0##*/}

say() {
	[ -n "${QUIET-}" ] || printf '%s: %s\n' "$PROGRAM" "$*"
}

warn() {
	printf '%s: %s\n' "$PROGRAM" "$*" >&2
}

# die STATUS MESSAGE...
die() {
	status=$1
	shift
	warn "$*"
	exit "$status"
}

usage_error() {
	die "$STATUS_USAGE" "$*; see $PROGRAM --help"
}

# option_value OPTION COUNT: there must be a value after the option.
option_value() {
	[ "$2" -ge 2 ] || usage_error "$1 needs a value"
}

# Reads the configuration: the file named, else the one in the environment, else the usual one, which may be missing.
read_config() {
	if [ -z "$1" ]; then
		set -- "${RACEFETCH_MIRROR_CONF-}"
	fi
	if [ -n "$1" ]; then
		[ -r "$1" ] || die "$STATUS_USAGE" "cannot read the configuration $1"
		case $1 in
		/*) config=$1 ;;
		*) config=$PWD/$1 ;;
		esac
	else
		config=/etc/racefetch/mirror.conf
	fi
	if [ -r "$config" ]; then
		# A mistake in it would end a POSIX shell at once, without a word of ours.
		sh -n "$config" || die "$STATUS_USAGE" "$config is not valid shell: correct the line that is named above"
		# shellcheck source=/dev/null # the user's file
		. "$config"
	fi
	: "${DATA:=/var/lib/racefetch-mirror}"
	: "${CACHE:=/var/cache/racefetch-mirror}"
	: "${RUN:=/run/racefetch-mirror}"
	: "${LOGS:=/var/log/racefetch-mirror}"
	: "${METRICS=$DATA/metrics}"
	: "${MIRROR_USER:=racefetch-mirror}"
	for folder in "$DATA" "$CACHE" "$RUN" "$LOGS"; do
		case $folder in
		*[!A-Za-z0-9._/+@-]*) die "$STATUS_USAGE" "$config: '$folder' has a character that the configuration of nginx and rsync cannot take" ;;
		/*) ;;
		*) die "$STATUS_USAGE" "$config: '$folder' is not an absolute path" ;;
		esac
	done
}

# number NAME VALUE: the value must be a whole number.
number() {
	case $2 in
	'' | *[!0-9]*) die "$STATUS_USAGE" "$1 is '$2': a whole number is needed" ;;
	esac
}

# Only one run at a time. The lock goes with the last process that holds it, the commands that were started included.
take_lock() {
	lock=$DATA/.$1.lock
	exec 9>"$lock" || die "$STATUS_FAILED" "cannot write $lock: run it as $MIRROR_USER or root"
	flock -n 9 || die "$STATUS_BUSY" "another run is under way: it holds $lock"
}

# A wait of random length, up to so many seconds.
random_delay() {
	[ "$1" -gt 0 ] || return 0
	seconds=$(od -An -N4 -tu4 /dev/urandom | awk -v most="$1" '{ print $1 % (most + 1) }')
	say "waiting $seconds seconds, so that not all mirrors come at once"
	sleep "$seconds"
}

# True when the last success, noted in the file, is less than so many hours ago.
is_recent() {
	[ -f "$1" ] && [ "$2" -gt 0 ] || return 1
	[ $(($(date +%s) - $(cat "$1"))) -lt $(($2 * 3600)) ]
}

# Writes standard input to a file by one rename.
put_file() {
	cat >"$1.$$" && chmod 644 "$1.$$" && mv -f "$1.$$" "$1"
}

# put_metrics NAME: figures on standard input, for the node-exporter. They are never a reason to fail.
put_metrics() {
	if [ -z "$METRICS" ]; then
		cat >/dev/null
		return 0
	fi
	{ mkdir -p "$METRICS" && put_file "$METRICS/$1.prom"; } || warn "cannot write the figures to $METRICS/$1.prom"
}

# figure NAME TYPE HELP VALUE: one figure of the text format.
figure() {
	printf '# HELP %s %s\n# TYPE %s %s\n%s %s\n' "$1" "$3" "$1" "$2" "$1" "$4"
}
