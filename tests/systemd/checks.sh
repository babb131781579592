#!/bin/bash
# What must be true of the package on a machine that systemd runs. Runs inside the container that
# boot.sh boots: installs, reloads, crashes, upgrades and purges.
set -u
cd /run/test
unit=httpserverd.service
file=/etc/httpserver.toml
url=http://127.0.0.1
passed=0 failed=0

ok() {
	passed=$((passed + 1))
	echo "ok - $1"
}
no() {
	failed=$((failed + 1))
	echo "not ok - $1"
}
# is WHAT GOT WANTED
is() { if [ "$2" = "$3" ]; then ok "$1"; else no "$1: got '$2', wanted '$3'"; fi; }
# holds WHAT COMMAND…
holds() {
	local what=$1
	shift
	if "$@" >last 2>&1; then ok "$what"; else no "$what: $(tail -n 3 last)"; fi
}
# soon COMMAND…: within 20 seconds.
soon() {
	for _ in $(seq 400); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.05
	done
	return 1
}
property() { systemctl show --property="$1" --value "${2:-$unit}"; }
main_pid() { property MainPID; }
code() { curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$url$1"; }
is_active() { [ "$(property ActiveState)" = active ]; }
another_than() { is_active && [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }
# Never to the process group 0, whatever went wrong before.
signal() { [ "$2" -gt 1 ] && kill -s "$1" "$2"; }
calm() { systemctl reset-failed 2>/dev/null; }

# Four clients with a new connection for each request, until told to stop; 5,000 each at most.
hammer() {
	touch hammering
	: >hammered
	hammers=()
	for _ in 1 2 3 4; do
		(
			for _ in $(seq 5000); do
				[ -e hammering ] || break
				curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}\n' \
					"$url/" >>hammered || echo "curl ended with $?" >>hammered
			done
		) &
		hammers+=($!)
	done
	more
}
asked() { [ "$(wc -l <hammered)" -ge "$1" ]; }
# Until they have asked 25 times more each.
more() { soon asked $(($(wc -l <hammered) + 100)); }
# None of its requests may have failed.
unhurt() {
	more
	rm hammering
	wait "${hammers[@]}"
	local all bad
	all=$(wc -l <hammered)
	bad=$(grep -vc '^200$' hammered)
	is "$1 (of $all requests)" "$bad" 0
	[ "$bad" = 0 ] || sort hammered | uniq -c
}

check_install() {
	if ! dpkg --install package.deb >installed 2>&1; then
		no "installs"
		cat installed
		return 1
	fi
	ok "installs"
	soon is_active
	is "is started" "$(property ActiveState)" active
	is "is enabled" "$(systemctl is-enabled $unit)" enabled
	is "waits for readiness" "$(property Type)" notify
	is "answers on port 80" "$(code /health/ready)" 200
	is "serves its site" "$(code /)" 200
	is "runs as its own user" "$(stat -c %U "/proc/$(main_pid)")" httpserverd
	holds "its units are right" systemd-analyze verify --man=no $unit httpserverd.socket
	local score
	score=$(systemd-analyze security --no-pager $unit | sed -n 's/.*level for [^:]*: \([0-9.]*\).*/\1/p')
	holds "its exposure is $score, 1.5 at most" awk "BEGIN { exit !($score <= 1.5) }"
	holds "its log is in the journal" sh -c "journalctl -u $unit -o cat | grep -q 'ready in'"
	holds "its state is in the status" sh -c "systemctl status $unit | grep -q 'generation 1'"
	holds "status tells of it" sh -c "httpserverd status | grep -q 'serving'"
	holds "has a folder for logs" test -d /var/log/httpserverd
}

set_body() {
	if ! grep -q '^path = "/body"' $file; then
		printf '\n[[route]]\npath = "/body"\nrespond = { text = "" }\n' >>$file
	fi
	sed -i "s/^respond = .*/respond = { text = \"$1\" }/" $file
}
body() { curl --silent --max-time 10 $url/body; }
body_is() { [ "$(body)" = "$1" ]; }

check_reload() {
	local pid
	pid=$(main_pid)
	set_body first
	holds "the file is edited, and served without a restart" soon body_is first
	hammer
	for turn in 1 2 3 4 5; do
		set_body "turn $turn"
		systemctl reload $unit || no "reload $turn fails"
		is "reload $turn is over when systemctl returns" "$(body)" "turn $turn"
	done
	unhurt "reloads under load fail nobody"
	cp $file good
	echo 'mistake = ' >>$file
	if systemctl reload $unit >/dev/null 2>&1; then
		no "a bad file makes the reload fail"
	else
		ok "a bad file makes the reload fail"
	fi
	is "and what was served goes on" "$(body)" "turn 5"
	is "and the unit is active" "$(property ActiveState)" active
	holds "and the journal says why" sh -c "journalctl -u $unit -o cat | grep -q 'kept generation'"
	holds "as errors" sh -c "journalctl -u $unit -p err -o cat | grep -q 'kept generation'"
	holds "and nothing else" sh -c "! journalctl -u $unit -p err -o cat | grep -q 'ready in'"
	cat good >$file
	holds "a good one is loaded again" systemctl reload $unit
	is "all of it in one process" "$(main_pid)" "$pid"
}

check_stop() {
	head -c 50000000 /dev/zero >/usr/share/httpserverd/site/large
	curl --silent --limit-rate 25M --output large $url/large &
	local slow=$!
	soon test -s large
	systemctl stop $unit
	wait $slow
	is "a download under way ends well at a stop" "$?/$(stat -c %s large)" 0/50000000
	rm /usr/share/httpserverd/site/large large
	is "the stop is a success" "$(property Result)/$(property ExecMainStatus)" success/0
	curl --silent --max-time 5 $url/ >/dev/null
	is "nobody listens after it" $? 7
	systemctl start $unit
	is "it starts again" "$(property ActiveState)" active
}

check_restart() {
	calm
	hammer
	for _ in 1 2 3; do systemctl restart $unit && more; done
	unhurt "restarts refuse nobody: systemd keeps the sockets"
	calm
	local pid
	pid=$(main_pid)
	hammer
	signal USR2 "$pid"
	holds "an upgrade has another process" soon another_than "$pid"
	soon test ! -d "/proc/$pid"
	unhurt "an upgrade refuses nobody"
	is "and the unit is active" "$(property ActiveState)" active
	head -c 50000000 /dev/zero >/usr/share/httpserverd/site/large
	curl --silent --limit-rate 25M --output large $url/large &
	local slow=$!
	soon test -s large
	systemctl stop $unit
	wait $slow
	is "a stop lets what the new one serves end well" "$?/$(stat -c %s large)" 0/50000000
	is "and is a success" "$(property Result)/$(property ExecMainStatus)" success/0
	rm /usr/share/httpserverd/site/large large
	systemctl start $unit
}

check_crash() {
	calm
	local pid
	pid=$(main_pid)
	signal ABRT "$pid"
	holds "it is started anew after a crash" soon another_than "$pid"
	is "and answers" "$(code /)" 200
	mkdir -p /run/systemd/system/$unit.d
	printf '[Service]\nWatchdogSec=1s\n' >/run/systemd/system/$unit.d/test.conf
	systemctl daemon-reload
	systemctl restart $unit
	pid=$(main_pid)
	signal STOP "$pid"
	holds "the watchdog replaces one that hangs" soon another_than "$pid"
	pid=$(main_pid)
	sleep 2.5
	is "and leaves one alone that does not" "$(main_pid)" "$pid"
	rm -r /run/systemd/system/$unit.d
	systemctl daemon-reload
	systemctl restart $unit
}

check_socket() {
	calm
	systemctl stop $unit
	holds "the socket unit listens" systemctl start httpserverd.socket
	is "the first connection starts the daemon" "$(code /)/$(property ActiveState)" 200/active
	hammer
	for _ in 1 2 3; do systemctl restart $unit && more; done
	unhurt "restarts behind the socket unit refuse nobody"
	sed -i 's/^bind = "0.0.0.0:80"$/bind = "systemd:web"/' $file
	holds "the socket is known by its name" systemctl restart $unit
	is "and served" "$(code /)" 200
	sed -i 's/^bind = "systemd:web"$/bind = "0.0.0.0:80"/' $file
	systemctl stop httpserverd.socket $unit
	systemctl start $unit
}

check_upgrade() {
	calm
	echo '# changed by the administrator' >>$file
	local sum pid
	sum=$(md5sum <$file)
	pid=$(main_pid)
	cp $file good
	echo 'mistake = ' >>$file
	dpkg --force-confold --install newer.deb >upgraded 2>&1
	is "a newer package installs over a bad file" $? 0
	is "and the version before goes on" "$(main_pid)" "$pid"
	is "and answers" "$(code /)" 200
	holds "and says why" grep -q 'the version before goes on' upgraded
	cat good >$file
	head -c 50000000 /dev/zero >/usr/share/httpserverd/site/large
	curl --silent --limit-rate 25M --output large $url/large &
	local slow=$!
	soon test -s large
	hammer
	dpkg --force-confold --install newer.deb >upgraded 2>&1
	is "a newer package installs" $? 0
	holds "and its daemon runs" soon another_than "$pid"
	soon test ! -d "/proc/$pid"
	unhurt "and nobody was refused"
	wait $slow
	is "and what was open has ended well" "$?/$(stat -c %s large)" 0/50000000
	rm -f /usr/share/httpserverd/site/large large
	is "systemd knows the new unit" "$(property NeedDaemonReload)" no
	is "the administrator's file is as it was" "$(md5sum <$file)" "$sum"
}

check_logs() {
	calm
	cp $file good
	sed -i 's|^\[server\]$|[server]\nmiddleware = ["request_id", "requests"]|' $file
	printf '\n[middleware.requests]\ntype = "access_log"\noutput = "/var/log/httpserverd/access.log"\n' >>$file
	holds "an access log in its own folder" systemctl reload $unit
	code /one >/dev/null
	holds "has a line" soon grep -q '/one' /var/log/httpserverd/access.log
	mv /var/log/httpserverd/access.log /var/log/httpserverd/access.log.1
	systemctl kill --kill-who=main --signal=USR1 $unit
	holds "is opened anew when it was moved away" soon test -e /var/log/httpserverd/access.log
	code /two >/dev/null
	holds "and written to" soon grep -q '/two' /var/log/httpserverd/access.log
	cat good >$file
	systemctl reload $unit
}

check_purge() {
	calm
	dpkg --remove httpserverd >removed 2>&1
	is "removes" $? 0
	is "and stops" "$(systemctl is-active $unit)" inactive
	holds "and keeps the configuration" test -e $file
	dpkg --purge httpserverd >purged 2>&1
	is "purges" $? 0
	holds "and the configuration" test ! -e $file
	holds "and the logs" test ! -e /var/log/httpserverd
	systemctl daemon-reload
	calm
	is "no unit is left" "$(systemctl list-unit-files --no-legend 'httpserverd*' | wc -l)" 0
	is "nothing has failed in the system" "$(systemctl is-system-running)" running
}

# After a failure in the middle, what follows still tells.
if check_install; then
	check_reload
	check_stop
	check_restart
	check_crash
	check_socket
	check_logs
	check_upgrade
	check_purge
fi
if [ "$failed" != 0 ]; then journalctl -u $unit -o cat --no-pager -n 60; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
