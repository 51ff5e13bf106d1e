# Shared by bundle/lock and bundle/build. Sourced after deploy/lib/common.sh.

# What the installed product needs at run time, by name; their dependencies follow.
runtime_packages=(curl libcurl4 libh2o-evloop0.13 libjansson4 liblmdb0 libopenblas0 libopenblas0-pthread libsqlite3-0 libssl3 libstdc++6
	libsystemd0 libwslay1 libyaml-0-2 nginx openssl)

# The packages that debootstrap --variant=minbase installs: what the isolated host has already.
minbase_packages() { # minbase_packages SCRATCH
	debootstrap --variant=minbase --print-debs bookworm "$1/print-debs" 2>/dev/null | tr ' ' '\n' | sed '/^$/d' | sort -u
}

# "name version" of the whole closure, down to minbase, as apt resolves it on an empty host.
closure() { # closure SCRATCH
	mkdir -p "$1/state/lists" "$1/state"
	: >"$1/state/status"
	minbase_packages "$1" >"$1/minbase"
	apt-get -s -q -o Dir::State::status="$1/state/status" install --no-install-recommends \
		"${runtime_packages[@]}" |
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' | sort -u |
		awk 'NR == FNR { base[$1] = 1; next } !($1 in base)' "$1/minbase" -
}
