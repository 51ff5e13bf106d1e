# Shared by deploy/quickstart, tests/run and bundle/: progress a person can follow, packages by name.
# Sourced by bash; needs nothing but a base system and apt.

step_no=0

# step "what happens now": one numbered line on standard error.
step() {
	step_no=$((step_no + 1))
	printf '\n[%2d] %s\n' "$step_no" "$*" >&2
}

note() { printf '     %s\n' "$*" >&2; }

die() {
	printf 'stargraph: %s\n' "$*" >&2
	exit 1
}

# quietly LOG COMMAND…: runs it, shows the end of its output only when it fails.
quietly() {
	local log=$1 began=$SECONDS
	shift
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 40 "$log" >&2
		die "failed: $* (whole output: $log)"
	fi
	note "done in $((SECONDS - began)) s"
}

# package_names FILE…: one name a line, # starts a comment.
package_names() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@" | sort -u; }

package_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs the packages of the listed files that are missing. No service is started, and one that
# this very installation enabled is disabled again: nothing of ours is a service here.
install_packages() {
	local log=$1 missing=() name had_nginx=no
	shift
	while read -r name; do
		package_installed "$name" || missing+=("$name")
	done < <(package_names "$@")
	[ ${#missing[@]} -gt 0 ] || { note "every package is there"; return 0; }
	[ "$(id -u)" = 0 ] || die "these packages are missing, and only root can install them: ${missing[*]}"
	note "installing ${#missing[@]} packages: ${missing[*]}"
	package_installed nginx && had_nginx=yes
	forbid_service_starts
	export DEBIAN_FRONTEND=noninteractive
	quietly "$log" sh -c '
		apt-get update -q &&
		apt-get install -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"' sh "${missing[@]}"
	allow_service_starts
	if [ $had_nginx = no ] && package_installed nginx && command -v deb-systemd-helper >/dev/null; then
		deb-systemd-helper disable nginx.service >/dev/null 2>&1 || true
	fi
}

# Debian's own way to install a package without its service starting (policy-rc.d, exit 101).
forbid_service_starts() {
	[ ! -e /usr/sbin/policy-rc.d ] || return 0
	printf '#!/bin/sh\n# stargraph: while packages are being installed\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	trap allow_service_starts EXIT
}

allow_service_starts() {
	if grep -qs '^# stargraph:' /usr/sbin/policy-rc.d; then
		rm -f /usr/sbin/policy-rc.d
	fi
}
