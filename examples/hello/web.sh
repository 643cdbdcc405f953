# Serves one page that says what it was told to say.
bb=/bin/busybox
$bb mkdir -p /www
echo "<!doctype html><title>hello</title><h1>$GREETING</h1>" >/www/index.html
echo "web serves: $GREETING"
trap 'exit 0' TERM INT
$bb httpd -f -p 8080 -h /www &
wait $!
