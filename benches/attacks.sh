#!/bin/sh
# What a client of its own notices while the gateway is attacked: the latency from publish to delivery before and meanwhile.
#
#   cargo test --release --test integration --no-run     # prints where the tests are
#   benches/attacks.sh floods|slow --tests TESTS --gateway target/release/tidings --loadgen LOADGEN [--first]
#
# floods is all ten floods at once within 512 MiB, slow two thousand connections that are slow or half open, as in
# tests/integration/attack. With --first (as root) the gateway and the client go before the attackers, which run on the same
# machine here. Traffic stays on loopback, and all ends by itself. Needs ss (iproute2), pgrep (procps) and chrt (util-linux).
set -eu

usage() {
  sed -n 's/^# \{0,1\}//; 2,10p' "$0" >&2
  exit 2
}

attack=${1:-}
case $attack in
  floods) test=all_floods_at_once ;;
  slow) test=two_thousand_slow ;;
  *) usage ;;
esac
shift
tests='' gateway='' loadgen='' first=''
while [ $# -gt 0 ]; do
  case $1 in
    --tests) tests=$2 && shift 2 ;;
    --gateway) gateway=$2 && shift 2 ;;
    --loadgen) loadgen=$2 && shift 2 ;;
    --first) first=1 && shift ;;
    *) usage ;;
  esac
done
[ -x "$tests" ] && [ -x "$gateway" ] && [ -x "$loadgen" ] || usage

# go_first PID: its threads before all others.
go_first() {
  if [ -n "$first" ]; then chrt --rr --all-tasks --pid 1 "$1"; fi
}

# watch ADDRESS PID: ten clients of one session, 100 publishes a second.
watch() {
  ${first:+chrt --rr 1} "$loadgen" fanout --clients 10 --publishes 380 --warmup 20 --rate 100 --window 0 --server-pid "$2" \
    --url "http://$1/socket.io/" --pub-url "http://$1/v1/topics/session:{session}/events" \
    --pub-body '{"name":"{event}","data":{data}}' | tr ',{}' '\n\n\n' | grep -E '"(p50|p99|max|lost|failed_publishes)"' | tr '\n' ' '
  echo
}

# address_of PID: where it listens, when it does.
address_of() {
  for _ in $(seq 100); do
    address=$(ss -ltnpH | awk -v pid="pid=$1," 'index($0, pid) { print $4; exit }')
    if [ -n "$address" ]; then echo "$address" && return; fi
    sleep 0.1
  done
  echo "the gateway does not listen" >&2
  exit 1
}

RUST_LOG=warn "$gateway" serve --listen 127.0.0.1:0 > /dev/null &
calm=$!
address=$(address_of $calm)
go_first $calm
echo "before: $(watch "$address" $calm)"
kill $calm
wait $calm || true

said=$(mktemp)
"$tests" "$test" --nocapture --test-threads 1 > "$said" 2>&1 &
attackers=$!
attacked=''
for _ in $(seq 100); do
  attacked=$(pgrep -P $attackers | head -n 1 || true)
  if [ -n "$attacked" ]; then break; fi
  sleep 0.1
done
address=$(address_of "$attacked")
# The test looks at the calm first.
sleep 1.2
go_first "$attacked"
echo "meanwhile: $(watch "$address" "$attacked")"
code=0
wait $attackers || code=$?
grep -oE 'peak .*|closed after .*' "$said" || true
[ $code -eq 0 ] || cat "$said" >&2
rm -f "$said"
exit $code
