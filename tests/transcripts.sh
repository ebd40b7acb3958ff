#!/usr/bin/env bash
# Writes docs/transcripts.md: what three stock clients receive of one run of the demo. Run ./tests/run.sh js python once
# before, so that their packages are there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
gateway=${GATEWAY_BIN:-${CARGO_TARGET_DIR:-$root/target}/debug/tidings}
if [ ! -x "$gateway" ]; then
  echo "there is no $gateway: run cargo build, or name another in GATEWAY_BIN"
  exit 1
fi
work=$(mktemp -d)
demo=''
finish() {
  if [ -n "$demo" ]; then kill "$demo" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

mkdir -p docs "$work/files"
printf 'one two three\nfour five\n' >"$work/files/notes.txt"
printf '# Title\n\nsome words, some more words\n' >"$work/files/readme.md"
printf 'id,name\n1,x\n2,y\n3,z\n' >"$work/files/table.csv"

"$gateway" demo "$work/files" --listen 127.0.0.1:0 --pace 1s >"$work/demo.log" 2>&1 &
demo=$!
for _ in $(seq 200); do
  if grep -q '?topic=' "$work/demo.log"; then break; fi
  sleep 0.05
done
url=$(grep -oE 'http://[0-9.]+:[0-9]+' "$work/demo.log" | head -n 1)
session=$(grep -oE 'topic=session:[^ ]+' "$work/demo.log" | head -n 1 | cut -d: -f2)

timeout 60 node tests/clients/js/transcript.js 4.8 "$url" "$session" >"$work/js-4.8" &
first=$!
timeout 60 node tests/clients/js/transcript.js 2.5 "$url" "$session" >"$work/js-2.5" &
second=$!
timeout 60 .cache/venv-python/bin/python tests/clients/python/transcript.py "$url" "$session" >"$work/python" &
third=$!
for _ in $(seq 400); do
  if grep -qs '^clarification.*pending' "$work/js-4.8" && grep -qs '^clarification' "$work/js-2.5" && grep -qs '^clarification' "$work/python"; then break; fi
  sleep 0.05
done
id=$(grep -oE '"clarificationId":"[^"]+"' "$work/js-4.8" | head -n 1 | cut -d'"' -f4)
node -e 'fetch(process.argv[1], { method: "POST", headers: { "content-type": "application/json" }, body: process.argv[2] })' \
  "$url/api/wizard/clarifications/respond" "{\"sessionId\":\"$session\",\"clarificationId\":\"$id\",\"response\":\"words\"}"
wait "$first"
wait "$second"
wait "$third"

{
  printf '# The demo as stock clients receive it\n\n'
  printf 'Three clients that nobody here wrote subscribe to one run of `tidings demo`; the question is answered over REST while they\n'
  printf 'watch. They joined a moment after the work began: what happened before is marked `_replayed`. Written by\n'
  printf '`tests/transcripts.sh`; ids, timestamps and the epoch are left out.\n'
  for one in 'socket.io-client 4.8.4:js-4.8' 'socket.io-client 2.5.0:js-2.5' 'python-socketio 5.18.1:python'; do
    printf '\n## %s\n\n```text\n' "${one%%:*}"
    cut -c1-320 "$work/${one##*:}"
    printf '```\n'
  done
} >docs/transcripts.md
echo "docs/transcripts.md is written"
