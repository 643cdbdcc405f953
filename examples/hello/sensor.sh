# Writes a sample every 200 ms to the Redis it is given, each exactly once, over any kill and any lost answer.
#
# The id of a sample is chosen and kept in a file before the sample is sent. An answer that got lost is asked for
# again with the same id: Redis then says "equal or smaller", which means that it has the sample already.
# /data/count holds how many samples Redis has confirmed: what this app claims to have written.
bb=/bin/busybox
data=${DATA:-/data}
$bb mkdir -p "$data"
trap 'exit 0' TERM INT

keep() { # keep FILE TEXT: replace the file, whole or not at all
  echo "$2" >"$data/$1.new" && $bb mv "$data/$1.new" "$data/$1"
}

send() { # send ID NUMBER: print what Redis answers
  printf 'AUTH %s %s\r\nXADD %s %s n %s revision %s\r\nQUIT\r\n' \
    "$SKERRY_REDIS_USER" "$SKERRY_REDIS_PASSWORD" "$SKERRY_STREAM" "$1" "$2" "$REVISION" |
    $bb nc -w 2 "$SKERRY_REDIS_HOST" "$SKERRY_REDIS_PORT" 2>/dev/null
}

count=$($bb cat "$data/count" 2>/dev/null || echo 0)
last=0
echo "sensor starts after $count samples"
while :; do
  next=$((count + 1))
  id=$($bb cat "$data/next" 2>/dev/null)
  if [ "${id##*-}" != "$next" ]; then
    now=$($bb date +%s)
    [ "$now" -lt "$last" ] && now=$last # ids must grow, also when the clock steps back
    id="${now}000-$next"
    keep next "$id"
  fi
  last=${id%000-*}
  while :; do
    case $(send "$id" "$next") in
    *"$id"* | *"equal or smaller"*) break ;;
    esac
    $bb sleep 0.5
  done
  count=$next
  keep count "$count"
  [ $((count % 50)) -eq 0 ] && echo "$count samples written"
  $bb sleep 0.2
done
