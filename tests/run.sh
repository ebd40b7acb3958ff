#!/usr/bin/env bash
# Installs what is missing and runs every test there is; the last line is `N passed, N failed[, N skipped]`.
#
#   ./tests/run.sh                 everything
#   ./tests/run.sh js python       only these suites: rust conformance js python typescript python_client docs browser interop emitters gate
#
# Needs Rust, Node 20 or newer with npm, and Python 3.9 or newer (3.11 for the Python package and docs). Debian packages
# that lack are installed when this runs as root (or sudo asks for no password); otherwise it says what to install and
# skips what needs it.
# Everything it installs lies in ignored folders: `.cache/` and the `node_modules/` beside each package.json.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cache=$root/.cache
logs=$cache/tests
target=${CARGO_TARGET_DIR:-$root/target}
kit=$root/../shared/interop
mkdir -p "$logs"
export CARGO_TERM_COLOR=never NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 DEBIAN_FRONTEND=noninteractive
export GATEWAY_BIN=${GATEWAY_BIN:-$target/debug/tidings} CONFORMANCE_BIN=${CONFORMANCE_BIN:-$target/debug/examples/conformance}
exec </dev/null

passed=0 failed=0 skipped=0 child='' gateway=''

say() { printf '%s\n' "$*"; }
end_children() {
  for pid in $child $gateway; do
    kill "$pid" 2>/dev/null || true
  done
}
trap end_children EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# record NAME PASSED FAILED SKIPPED
record() {
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  say "   $1: $2 passed, $3 failed, $4 skipped"
}
skip() {
  skipped=$((skipped + 1))
  say "   skipped $1: $2"
}
# logged NAME SECONDS COMMAND...: runs it with a limit, its output in $logs/NAME.log; answers its exit code
logged() {
  local name=$1 seconds=$2 code=0
  shift 2
  timeout -k 10 "$seconds" "$@" >"$logs/$name.log" 2>&1 &
  child=$!
  wait "$child" || code=$?
  child=''
  if [ "$code" -ge 124 ]; then say "   $name was ended after $seconds s or by a signal (exit $code)"; fi
  return "$code"
}
# the end of a log that explains a failure
explain() {
  say "   --- the end of $logs/$1.log"
  tail -n "${2:-80}" "$logs/$1.log" | sed 's/^/   | /'
}
# count PATTERN FILE: the sum of the first number in each match
count() { { grep -oE "$1" "$2" 2>/dev/null || true; } | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n + 0 }'; }
# tallied NAME CODE PASSED FAILED SKIPPED: a suite that ended badly, or ran nothing, has failed even if it counted no failure
tallied() {
  local bad=$4
  if [ "$bad" -eq 0 ] && { [ "$2" -ne 0 ] || [ "$3" -eq 0 ]; }; then bad=1; fi
  record "$1" "$3" "$bad" "$5"
  if [ "$bad" -gt 0 ]; then explain "$1"; fi
}

# debian PACKAGE...: installs them or says how
debian() {
  local as=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as=(sudo -n)
    else
      say "   please install: apt-get install $*"
      return 1
    fi
  fi
  if ! command -v apt-get >/dev/null; then
    say "   please install: $*"
    return 1
  fi
  say "   installing $*"
  logged apt 900 "${as[@]}" bash -c 'apt-get update -qq && apt-get install -y --no-install-recommends "$@"' apt "$@" || { explain apt 15; return 1; }
}

# npm_packages FOLDER: node_modules as its lock file says, again only when that changed
npm_packages() {
  local stamp
  stamp=$(node --version | cat - "$1/package-lock.json" | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$1/node_modules/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  if ! command -v npm >/dev/null; then debian npm || return 1; fi
  say "   installing the npm packages of ${1#"$root"/}"
  logged npm 600 npm --prefix "$1" ci --no-audit --no-fund --loglevel=error || { explain npm 30; return 1; }
  say "$stamp" >"$1/node_modules/.stamp"
}
# python_packages NAME REQUIREMENTS: a virtual environment in .cache
python_packages() {
  local venv=$cache/$1 stamp
  stamp=$(python3 --version | cat - "$2" | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv || return 1
  say "   installing the Python packages of ${2#"$root"/}"
  rm -rf "$venv"
  logged pip 600 bash -c 'python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"' pip "$venv" "$2" || { explain pip 30; return 1; }
  say "$stamp" >"$venv/.stamp"
}

node_is_good() {
  node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2>/dev/null
}
# node_tests NAME SECONDS FILE...
node_tests() {
  local name=$1 seconds=$2 code=0
  shift 2
  rm -f "$logs/$name.tap"
  logged "$name" "$seconds" node --test --test-concurrency=1 --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap "--test-reporter-destination=$logs/$name.tap" "$@" || code=$?
  tallied "$name" "$code" "$(count '^# pass [0-9]+' "$logs/$name.tap")" \
    "$(($(count '^# fail [0-9]+' "$logs/$name.tap") + $(count '^# cancelled [0-9]+' "$logs/$name.tap")))" \
    "$(count '^# (skipped|todo) [0-9]+' "$logs/$name.tap")"
}

build() {
  say "== build"
  local what=(--bins)
  if [ -d examples ]; then what+=(--examples); fi
  if logged build 1500 cargo build --locked --features otlp "${what[@]}"; then return; fi
  explain build
  record build 0 1 0
  say "$passed passed, $failed failed"
  exit 1
}

suite_rust() {
  local code=0
  if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null; then debian redis-server redis-tools || say "   what needs Redis will fail"; fi
  if ! compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; then debian faketime || say "   what moves clocks will fail"; fi
  if ! command -v openssl >/dev/null; then debian openssl || say "   what needs certificates will fail"; fi
  if cargo nextest --version >/dev/null 2>&1; then
    logged rust 1500 cargo nextest run --locked --features otlp --no-fail-fast || code=$?
    grep -E '^ +Summary ' "$logs/rust.log" | tail -n 1 >"$logs/rust.summary" || true
    tallied rust "$code" "$(count '[0-9]+ passed' "$logs/rust.summary")" \
      "$(($(count '[0-9]+ failed' "$logs/rust.summary") + $(count '[0-9]+ timed out' "$logs/rust.summary")))" \
      "$(count '[0-9]+ skipped' "$logs/rust.summary")"
  else
    say "   cargo-nextest is not installed: cargo test runs them instead (cargo install --locked cargo-nextest)"
    logged rust 1500 cargo test --locked --features otlp --no-fail-fast --bins --lib --tests --examples || code=$?
    cargo_test_tally rust "$code"
  fi
  code=0
  logged rust-doc 600 cargo test --locked --features otlp --doc || code=$?
  # there may be no documentation test at all
  if [ "$code" -ne 0 ] || grep -qE '^running [1-9]' "$logs/rust-doc.log"; then cargo_test_tally rust-doc "$code"; fi
}
cargo_test_tally() {
  grep -E '^test result: ' "$logs/$1.log" >"$logs/$1.summary" || true
  tallied "$1" "$2" "$(count '[0-9]+ passed' "$logs/$1.summary")" "$(count '[0-9]+ failed' "$logs/$1.summary")" "$(count '[0-9]+ ignored' "$logs/$1.summary")"
}

suite_conformance() {
  if ! node_is_good; then skip conformance "Node 20 or newer is not there"; return; fi
  npm_packages "$root/tests/clients/js" || { record conformance 0 1 0; return; }
  node_tests conformance 300 tests/conformance/*.test.js
}

suite_js() {
  if ! node_is_good; then skip js "Node 20 or newer is not there"; return; fi
  if ! command -v redis-server >/dev/null || ! command -v haproxy >/dev/null || ! command -v nginx >/dev/null || ! command -v caddy >/dev/null; then
    debian redis-server redis-tools haproxy nginx caddy || say "   what needs Redis, HAProxy, nginx or Caddy will fail"
  fi
  npm_packages "$root/tests/clients/js" || { record js 0 1 0; return; }
  node_tests js 900 tests/clients/js/test/*.test.js
}

suite_python() {
  local version requirements code
  if ! command -v python3 >/dev/null; then skip python "python3 is not there"; return; fi
  for requirements in tests/clients/python/requirements*.txt; do
    version=python$(basename "$requirements" .txt | sed 's/^requirements//')
    python_packages "venv-$version" "$root/$requirements" || { record "$version" 0 1 0; continue; }
    code=0
    rm -f "$logs/$version.xml"
    logged "$version" 600 "$cache/venv-$version/bin/python" -m pytest -c tests/clients/python/pytest.ini --rootdir tests/clients/python \
      "--junitxml=$logs/$version.xml" tests/clients/python || code=$?
    tallied_xml "$version" "$code"
  done
}
# tallied_xml NAME CODE: from the JUnit report in $logs/NAME.xml
tallied_xml() {
  local bad skips all
  bad=$(attribute "$logs/$1.xml" failures errors)
  skips=$(attribute "$logs/$1.xml" skipped)
  all=$(attribute "$logs/$1.xml" tests)
  tallied "$1" "$2" "$((all - bad - skips))" "$bad" "$skips"
}
# attribute FILE NAME...: the sum of these attributes of its <testsuite>
attribute() {
  python3 - "$@" <<'PY'
import sys
import xml.etree.ElementTree as tree
try:
    suites = list(tree.parse(sys.argv[1]).iter("testsuite"))
except (OSError, tree.ParseError):
    suites = []
print(sum(int(suite.get(name, 0)) for suite in suites for name in sys.argv[2:]))
PY
}

# the client package: its types, its size, what it does with a gateway, its README
suite_typescript() {
  local package=$root/clients/typescript code=0
  if ! node_is_good; then skip typescript "Node 20 or newer is not there"; return; fi
  npm_packages "$root/tests/clients/js" || { record typescript 0 1 0; return; }
  npm_packages "$package" || { record typescript 0 1 0; return; }
  if logged typescript-check 300 npm --prefix "$package" run check; then
    record typescript-check 1 0 0
  else
    record typescript-check 0 1 0
    explain typescript-check 40
  fi
  rm -f "$logs/typescript.xml"
  logged typescript 600 bash -c 'cd "$1" && exec node node_modules/vitest/vitest.mjs run --reporter=default --reporter=junit --outputFile.junit="$2"' \
    vitest "$package" "$logs/typescript.xml" || code=$?
  tallied_xml typescript "$code"
}

# the Python package: its types, what it does with a gateway, its examples, its README
suite_python_client() {
  local package=$root/clients/python venv=$cache/venv-python-client code=0
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    skip python_client "Python 3.11 or newer is not there"
    return
  fi
  python_packages venv-python-client "$package/requirements-test.txt" || { record python_client 0 1 0; return; }
  if ! node_is_good; then
    skip python_client-types "Node 20 or newer is not there"
  elif ! npm_packages "$package"; then
    record python_client-types 0 1 0
  elif logged python_client-types 300 node "$package/node_modules/pyright/index.js" \
    --project "$package" --pythonpath "$venv/bin/python"; then
    record python_client-types 1 0 0
  else
    record python_client-types 0 1 0
    explain python_client-types 40
  fi
  rm -f "$logs/python_client.xml"
  logged python_client 600 "$venv/bin/python" -m pytest -c "$package/pyproject.toml" --rootdir "$package" \
    "--junitxml=$logs/python_client.xml" "$package/tests" || code=$?
  tallied_xml python_client "$code"
}

# the pages of docs/: their blocks, their links, the names they use
suite_docs() {
  if ! node_is_good; then skip docs "Node 20 or newer is not there"; return; fi
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    skip docs "Python 3.11 or newer is not there"
    return
  fi
  if ! command -v curl >/dev/null && ! debian curl; then skip docs "curl is not there"; return; fi
  if ! command -v redis-server >/dev/null && ! debian redis-server redis-tools; then skip docs "redis-server is not there"; return; fi
  npm_packages "$root/tests/clients/js" || { record docs 0 1 0; return; }
  python_packages venv-docs "$root/tests/docs/requirements.txt" || { record docs 0 1 0; return; }
  node_tests docs 300 tests/docs/*.test.mjs
}

# the React example as a browser gets it
example() {
  local package=$root/clients/typescript
  npm_packages "$package" || return 1
  npm_packages "$package/examples/react" || return 1
  logged example 300 bash -c 'npm --prefix "$1" run build && npm --prefix "$1/examples/react" run build' npm "$package" || { explain example 30; return 1; }
}

suite_browser() {
  if [ ! -f tests/browser/package.json ]; then skip browser "there is no tests/browser"; return; fi
  if ! node_is_good; then skip browser "Node 20 or newer is not there"; return; fi
  if [ -z "${CHROMIUM:-}" ]; then
    CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    if [ -z "$CHROMIUM" ]; then
      if ! debian chromium; then skip browser "Chromium is not there"; return; fi
      CHROMIUM=$(command -v chromium)
    fi
  fi
  export CHROMIUM
  npm_packages "$root/tests/clients/js" || { record browser 0 1 0; return; }
  npm_packages "$root/tests/browser" || { record browser 0 1 0; return; }
  example || { record browser 0 1 0; return; }
  node_tests browser 600 tests/browser/*.test.*js
}

# the work from append to write, counted in instructions
suite_gate() {
  if ! node_is_good; then skip gate "Node 20 or newer is not there"; return; fi
  if ! command -v valgrind >/dev/null && ! debian valgrind; then skip gate "valgrind is not there"; return; fi
  npm_packages "$root/tests/clients/js" || { record gate 0 1 0; return; }
  node_tests gate 360 tests/gate/*.test.mjs
}

# the kit of stock clients that may lie beside the checkout
suite_interop() {
  if [ ! -f "$kit/run.js" ]; then skip interop "the kit is not there (../shared/interop)"; return; fi
  if ! node_is_good; then skip interop "Node 20 or newer is not there"; return; fi
  if ! command -v curl >/dev/null && ! debian curl; then skip interop "curl is not there"; return; fi
  local copy=$cache/interop code=0 url=''
  rm -rf "$copy"
  cp -R "$kit" "$copy"
  chmod -R u+w "$copy"
  if ! logged interop-list 60 node "$copy/run.js" --list; then
    say "   installing the kit's packages"
    logged interop-setup 900 bash "$copy/setup.sh" || { explain interop-setup 30; record interop 0 1 0; return; }
  fi
  TIDINGS__FACE__SOCKETIO__PING_INTERVAL=1s TIDINGS__FACE__SOCKETIO__PING_TIMEOUT=2s \
    "$GATEWAY_BIN" serve --listen 127.0.0.1:0 >"$logs/interop-gateway.log" 2>&1 &
  gateway=$!
  for _ in $(seq 200); do
    url=$(grep -oE 'listening on http://[^ ]+' "$logs/interop-gateway.log" | head -n 1 | cut -d' ' -f3 || true)
    if [ -n "$url" ]; then break; fi
    sleep 0.1
  done
  if [ -z "$url" ]; then explain interop-gateway; record interop 0 1 0; return; fi
  # shellcheck disable=SC2016 # the kit's shell expands these
  GATEWAY_URL=$url MSGPACK_PATH=/socket.io-msgpack/ ROBUST=1 CSR=1 \
    PUBLISH_BIN_CMD='curl -sf -o /dev/null -X POST "$GATEWAY_URL/v1/topics/session:$SESSION_ID/events" -H "content-type: application/json" --data-binary "{\"name\":\"$EVENT\",\"data_base64\":\"$DATA_B64\"}"' \
    logged interop 900 node "$copy/run.js" || code=$?
  kill "$gateway" 2>/dev/null || true
  wait "$gateway" || code=$?
  gateway=''
  tallied interop "$code" "$(count '^[0-9]+ passed' "$logs/interop.log")" "$(count '[0-9]+ failed$' "$logs/interop.log")" "$(count '^skipped: [0-9]+' "$logs/interop.log")"
  { grep -E '^FAIL' "$logs/interop.log" || true; } | sed 's/^/   /'
  { grep -E '^SKIP' "$logs/interop.log" || true; } | sed -E 's/^SKIP [^:]*: //' | sort | uniq -c | sed -E 's/^ *([0-9]+) (.*)/   skipped \1: \2/'
}

# what other people's emitters publish in Redis, with clients on the same node and on another one
suite_emitters() {
  if [ ! -f "$kit/run.js" ]; then skip emitters "the kit is not there (../shared/interop)"; return; fi
  if ! node_is_good; then skip emitters "Node 20 or newer is not there"; return; fi
  if ! command -v redis-server >/dev/null && ! debian redis-server redis-tools; then skip emitters "redis-server is not there"; return; fi
  local copy=$cache/interop code=0 url='' port redis peer dir=$cache/redis
  rm -rf "$copy" "$dir"
  cp -R "$kit" "$copy"
  chmod -R u+w "$copy"
  mkdir -p "$dir"
  if ! logged interop-list 60 node "$copy/run.js" --list; then
    logged interop-setup 900 bash "$copy/setup.sh" || { explain interop-setup 30; record emitters 0 1 0; return; }
  fi
  port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
  redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir" >"$logs/redis.log" 2>&1 &
  redis=$!
  REDIS_URL=redis://127.0.0.1:$port "$GATEWAY_BIN" serve --listen 127.0.0.1:0 >"$logs/emitters-peer.log" 2>&1 &
  peer=$!
  REDIS_URL=redis://127.0.0.1:$port "$GATEWAY_BIN" serve --listen 127.0.0.1:0 >"$logs/emitters-gateway.log" 2>&1 &
  gateway="$! $peer $redis"
  for _ in $(seq 200); do
    url=$(grep -oE 'listening on http://[^ ]+' "$logs/emitters-gateway.log" | head -n 1 | cut -d' ' -f3 || true)
    if [ -n "$url" ] && node -e 'fetch(process.argv[1] + "/readyz").then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$url"; then break; fi
    sleep 0.1
  done
  GATEWAY_URL=$url REDIS_URL=redis://127.0.0.1:$port ROBUST=1 logged emitters 600 node "$copy/run.js" --only producer || code=$?
  end_children
  wait || true
  gateway=''
  tallied emitters "$code" "$(count '^[0-9]+ passed' "$logs/emitters.log")" "$(count '[0-9]+ failed$' "$logs/emitters.log")" "$(count '^skipped: [0-9]+' "$logs/emitters.log")"
  { grep -E '^FAIL' "$logs/emitters.log" || true; } | sed 's/^/   /'
}

suites=("$@")
if [ $# -eq 0 ]; then suites=(rust conformance js python typescript python_client docs browser interop emitters gate); fi
for suite in "${suites[@]}"; do
  if ! declare -F "suite_$suite" >/dev/null; then
    say "there is no suite \`$suite\`: rust conformance js python typescript python_client docs browser interop emitters gate"
    exit 2
  fi
done
if ! command -v cargo >/dev/null; then
  say "Rust is not there: install it from your distribution or with rustup"
  exit 1
fi
build
for suite in "${suites[@]}"; do
  say "== $suite"
  "suite_$suite"
done

tail=''
if [ "$skipped" -gt 0 ]; then tail=", $skipped skipped"; fi
say "$passed passed, $failed failed$tail"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
