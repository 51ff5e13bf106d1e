# The suites of tests/run. Each counts what it ran through count_*; summary prints and decides.
# Sourced after deploy/lib/common.sh, in the checkout's top directory.

passed=0
failed=0
failures=()

# Debian's own python with its pytest; PyPI adds only what tests/requirements.txt pins.
prepare_python() {
	step "python for the tests"
	local stamp=build/venv/requirements.sha256 want
	want=$(sha256sum tests/requirements.txt | cut -d' ' -f1)
	if [ "$(cat $stamp 2>/dev/null)" != "$want" ]; then
		rm -rf build/venv
		/usr/bin/python3 -m venv --system-site-packages build/venv
		quietly build/reports/pip.log build/venv/bin/pip install --no-input -r tests/requirements.txt
		printf '%s' "$want" >$stamp
	fi
	SG_PYTHON=$PWD/build/venv/bin/python
	export SG_PYTHON
}

prepare_model() {
	step "the model"
	quietly build/reports/model.log deploy/fetch-model "$PWD/build/models"
	export SG_MODEL_DIR=$PWD/build/models/all-MiniLM-L6-v2
}

# prepare_build DIR [MESON OPTION…]
prepare_build() {
	local dir=$1
	shift
	step "build in $dir"
	[ -f "$dir/build.ninja" ] ||
		quietly "build/reports/$(basename "$dir")-setup.log" meson setup "$dir" --werror "$@"
	quietly "build/reports/$(basename "$dir")-ninja.log" ninja -C "$dir"
}

# count_meson BUILDDIR: runs its unit tests and counts cmocka's cases, not executables.
count_meson() {
	local dir=$1 log=build/reports/$(basename "$1")-unit.log p f
	meson test -C "$dir" --suite unit --no-rebuild --timeout-multiplier 3 --print-errorlogs >"$log" 2>&1 || failures+=("unit in $dir: see $log")
	p=$(grep -c '^\[       OK \]' "$dir/meson-logs/testlog.txt" || true)
	f=$({ grep -E '^\[  FAILED  \] [A-Za-z_0-9]+$' "$dir/meson-logs/testlog.txt" || true; } | sort -u | wc -l)
	# A test program that died or timed out printed no FAILED line of its own.
	[ "$f" != 0 ] || f=$(grep -cE '^ *[0-9]+/[0-9]+ .*(FAIL|TIMEOUT|ERROR) ' "$log" || true)
	passed=$((passed + p))
	failed=$((failed + f))
	note "$dir: $p passed, $f failed"
}

# count_pytest NAME ARG…: one pytest run, counted from its report.
count_pytest() {
	local name=$1 xml=build/reports/$1.xml
	shift
	local r=0
	"$SG_PYTHON" -m pytest -q -p no:cacheprovider --junitxml="$xml" "$@" || r=$?
	[ $r -le 1 ] || { failures+=("pytest $name ended with $r"); failed=$((failed + 1)); return; }
	local counts
	counts=$("$SG_PYTHON" - "$xml" <<'PY'
import sys, xml.etree.ElementTree as E
s = [e for e in E.parse(sys.argv[1]).iter("testsuite")]
n = sum(int(e.get("tests")) for e in s)
bad = sum(int(e.get("failures")) + int(e.get("errors")) for e in s)
skipped = sum(int(e.get("skipped")) for e in s)
print(n - bad - skipped, bad, skipped)
PY
	)
	local p f k
	read -r p f k <<<"$counts"
	passed=$((passed + p))
	failed=$((failed + f + k)) # a skipped test is a test that did not show anything
	[ "$k" = 0 ] || failures+=("$name: $k skipped")
	[ "$f" = 0 ] || failures+=("$name: $f failed")
}

# count_command NAME COMMAND…: one check that is its exit code.
count_command() {
	local name=$1 log=build/reports/check-${1//[^A-Za-z0-9]/-}.log
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		note "ok   $name"
	else
		failed=$((failed + 1))
		failures+=("$name: see $log")
		note "FAIL $name"
		tail -n 20 "$log" >&2
	fi
}

suite_unit() {
	count_meson build
	prepare_build build-asan -Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false
	count_meson build-asan
}

# Each area is a pytest run of its own: their conftest.py and helpers have the same names.
count_areas() { # count_areas NAME DIR
	local area
	for area in "$2"/*/; do
		! compgen -G "${area}test_*.py" >/dev/null || count_pytest "$1-$(basename "$area")" "$area"
	done
}

suite_golden() { count_areas golden tests/golden; }

suite_e2e() {
	prepare_build build-asan -Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false
	SG_BUILD=$PWD/build-asan SG_MODULE_BUILD=$PWD/build count_areas e2e tests/e2e
	count_command "quickstart" tests/quickstart
}

# The release bundle, made, carried over and served without a network.
suite_bundle() {
	export SG_BUNDLE=$PWD/build/bundle
	count_command "two bundles of one commit are byte-identical" tests/reproducible
	count_command "an installation killed anywhere" tests/killed-install
	count_command "zero to serve without a network" tests/airgap
	rm -rf "$SG_BUNDLE"
}

suite_crash() { SG_BUILD=$PWD/build count_pytest crash tests/crash; }

suite_fuzz() {
	CC=clang CXX=clang++ prepare_build build-fuzz -Dfuzz=true -Dtests=true -Dnginx_module=false \
		-Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false
	local target
	for target in build-fuzz/tests/fuzz/fuzz-*; do
		[ -f "$target" ] && [ -x "$target" ] || continue
		count_command "fuzz ${target##*/fuzz-}" fuzz_one "$target"
	done
}

# The kept corpus, then new inputs for a while; crashes land in build/reports.
fuzz_one() {
	local name=${1##*/fuzz-} corpus seconds=8
	[ -z "$SG_LONG" ] || seconds=900
	corpus=$(mktemp -d)
	"$1" -max_total_time=$seconds -rss_limit_mb=2048 -timeout=10 \
		-artifact_prefix="build/reports/fuzz-$name-" "$corpus" "tests/fuzz/corpus/$name"
	local r=$?
	rm -rf "$corpus"
	return $r
}

suite_tidy() {
	local check
	for check in tests/tidy/check-*; do
		count_command "tidy ${check##*/check-}" "$check"
	done
	if [ -n "$SG_LONG" ]; then
		count_command "quickstart in a minbase tree" tests/minbase
	fi
}

summary() {
	local f
	printf '\n' >&2
	for f in "${failures[@]}"; do printf 'FAILED: %s\n' "$f" >&2; done
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" = 0 ] && [ ${#failures[@]} = 0 ] && [ "$passed" -gt 0 ]
}
