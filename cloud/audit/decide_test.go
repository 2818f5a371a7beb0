package audit

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func declared() Want {
	return Want{Admin: "ops", Users: []User{{Name: "ops", Sudo: true}, {Name: "dev"}}, SSHPort: 2222,
		Ports: []Port{{"tcp", 80, 80}, {"tcp", 8000, 8100}, {"udp", 53, 53}}}
}

const goodSSHD = `port 2222
permitrootlogin no
pubkeyauthentication yes
passwordauthentication no
kbdinteractiveauthentication no
permitemptypasswords no
hostbasedauthentication no
authenticationmethods publickey
allowusers ops
allowusers dev
`

// nft's JSON of a chain and its rules.
func ruleset(chains ...string) string {
	return `{"nftables": [` +
		strings.Join(append([]string{`{"metainfo": {"version": "1.0.6"}}`}, chains...), ", ") + `]}`
}

func chain(family, name, hook, policy string, exprs ...string) string {
	out := `{"chain": {"family": "` + family + `", "table": "t", "name": "` + name +
		`", "handle": 1, "type": "filter", "hook": "` + hook + `", "prio": 0, "policy": "` + policy + `"}}`
	for _, e := range exprs {
		out += `, {"rule": {"family": "` + family + `", "table": "t", "chain": "` + name +
			`", "handle": 2, "expr": [` + e + `]}}`
	}
	return out
}

func match(left, right string) string {
	return `{"match": {"op": "==", "left": ` + left + `, "right": ` + right + `}}, {"accept": null}`
}

func dport(protocol, right string) string {
	return match(`{"payload": {"protocol": "`+protocol+`", "field": "dport"}}`, right)
}

func TestDecide(t *testing.T) {
	w := declared()
	forward := chain("inet", "forward", "forward", "drop")
	input := func(exprs ...string) string {
		return ruleset(chain("inet", "input", "input", "drop", exprs...), forward)
	}
	inside := w
	inside.Inside = true
	router := w
	router.Forward = true
	source := match(`{"payload": {"protocol": "ip", "field": "saddr"}}`, `{"prefix": {"addr": "10.0.0.0", "len": 8}}`)
	local := w
	local.Users = append(slices.Clip(w.Users), User{Name: "eve", Local: true})
	m := []Mount{{"/srv", "griddle-data"}}
	table := func(label, fstab string) string {
		return `{"filesystems": [{"target": "/", "source": "/dev/vda", "fstype": "ext4", "label": null, "children": [` +
			`{"target": "/srv", "source": "/dev/vdb", "fstype": "ext4", "label": "` + label +
			`"}]}]}` + "\n==\n" + fstab
	}
	for _, c := range []struct {
		name   string
		points []Point
		want   string // what is seen of all that failed; empty: all hold
	}{
		{"locked", passwords("root:locked\nops:locked\n"), ""},
		{"a password", passwords("root:set\nops:locked\nx:empty\n"), "not locked: root (set), x (empty)"},
		{"no accounts", passwords(""), "no accounts are listed"},

		{"sshd", sshd(goodSSHD, "ops", w), ""},
		{"sshd with passwords", sshd(strings.Replace(goodSSHD, "passwordauthentication no",
			"passwordauthentication yes", 1), "ops", w), "passwordauthentication yes"},
		{"sshd at two ports", sshd(goodSSHD+"port 22\n", "ops", w), "port 2222 and 22"},
		{"sshd with another user", sshd(goodSSHD+"allowusers eve\n", "ops", w), "allowusers dev eve ops"},
		{"sshd without a user that has no key", sshd(goodSSHD, "ops", local), ""},
		{"sshd with a user that has no key", sshd(goodSSHD+"allowusers eve\n", "ops", local),
			"allowusers dev eve ops"},
		{"sshd says nothing", sshd("", "ops", Want{}),
			"permitrootlogin , passwordauthentication , kbdinteractiveauthentication , permitemptypasswords , " +
				"pubkeyauthentication , authenticationmethods , hostbasedauthentication , port "},

		{"sudo", sudo("User ops may run the following commands on web-1:\n    (ALL) NOPASSWD: ALL\n", w.Users[0]), ""},
		{"sudo wants a password", sudo("    (ALL : ALL) ALL\n", w.Users[0]), "cannot become root without a password"},
		{"no sudo", sudo("User dev is not allowed to run sudo on web-1.\n", w.Users[1]), ""},
		{"sudo undeclared", sudo("    (root) NOPASSWD: /bin/sh\n", w.Users[1]),
			"may do without a password what was not declared"},

		{"open ports", []Point{openPorts([]uint16{80, 2222, 8050}, 1, 9000, w)}, ""},
		{"undeclared ports", []Point{openPorts([]uint16{53, 80, 2222}, 1, 9000, w)},
			"[53] of 1 to 9000 are open and not declared"},

		{"no rules", firewall(ruleset(), w)[:1], "no chain drops by default"},
		{"no JSON", firewall("", w), "nft printed no JSON: unexpected end of JSON input"},
		{"one family", firewall(ruleset(chain("ip", "input", "input", "drop"), forward), w)[2:3],
			"no chain drops by default"},
		{"policy accept", firewall(ruleset(chain("inet", "input", "input", "accept"), forward), w)[:1],
			"no chain drops by default"},
		{"no forward chain", firewall(ruleset(chain("inet", "input", "input", "drop")), w)[1:2],
			"no chain drops by default"},
		{"forwarding", firewall(ruleset(chain("inet", "input", "input", "drop")), router), ""},
		{"declared rules", firewall(input(
			match(`{"meta": {"key": "iif"}}`, `"lo"`), match(`{"ct": {"key": "state"}}`, `["established", "related"]`),
			match(`{"payload": {"protocol": "icmpv6", "field": "type"}}`,
				`{"set": ["nd-neighbor-solicit", "packet-too-big"]}`),
			dport("tcp", "2222"), dport("tcp", `{"range": [8000, 8100]}`), dport("tcp",
				`{"set": [80, {"range": [8001, 8002]}]}`), dport("udp", "53"), dport("udp", "68")), w), ""},
		{"undeclared rule", firewall(input(dport("tcp", "22")), w)[:1], "t input lets in tcp 22 to 22"},
		{"undeclared range", firewall(input(dport("tcp", `{"set": [80, {"range": [8000, 9000]}]}`)), w)[:1],
			"t input lets in tcp 8000 to 9000"},
		{"declared for tcp alone", firewall(input(dport("udp", "80")), w)[:1], "t input lets in udp 80 to 80"},
		{"named set", firewall(input(dport("tcp", `"@ports"`)), w)[:1], "t input lets in ports that are not known"},
		{"everything", firewall(input(`{"accept": null}`), w)[:1], "t input lets in all packets"},
		{"new connections", firewall(input(match(`{"ct": {"key": "state"}}`, `["new", "established"]`)), w)[:1],
			"t input lets in all packets"},
		{"all but", firewall(
			input(`{"match": {"op": "!=", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, {"accept": null}`), w)[:1],
			"t input lets in all packets"},
		{"a network", firewall(input(source), w)[:1], "t input lets in all packets of some sources"},
		{"a declared network", firewall(input(source), inside), ""},
		{"echo", firewall(input(match(`{"payload": {"protocol": "icmp", "field": "type"}}`, `"echo-request"`)), w)[:1],
			"t input lets in echo requests"},
		{"another chain", firewall(input(`{"jump": {"target": "other"}}`), w)[:1], "t input lets in what a jump says"},
		{"one good chain of two", firewall(ruleset(chain("inet", "a", "input", "drop", `{"accept": null}`),
			chain("inet", "b", "input", "drop"), forward), w), ""},

		{"firewall at boot", firewallAtBoot("enabled\n"), ""},
		{"no firewall at boot", firewallAtBoot("disabled\n"), "nftables.service is disabled"},

		{"data disk", mounts(table("griddle-data", "LABEL=griddle-data /srv ext4 defaults,nofail 0 2\n"), m), ""},
		{"another disk", mounts(table("other", ""), m), `/dev/vdb has the label "other", not "griddle-data"`},
		{"it blocks the boot", mounts(table("griddle-data", "LABEL=griddle-data /srv ext4 defaults 0 2\n"), m),
			"fstab does not mount LABEL=griddle-data there with nofail"},
		{"not mounted", mounts(`{"filesystems": []}`+"\n==\n", m), "nothing is mounted there"},

		{"hostname", hostname("web-1\n", "web-1"), ""},
		{"another hostname", hostname("debian\n", "web-1"), "debian, not web-1"},

		{"zone", zone("/usr/share/zoneinfo/Europe/Berlin\nCET\n", "Europe/Berlin"), ""},
		{"another zone", zone("/usr/share/zoneinfo/Etc/UTC\nUTC\n", "Europe/Berlin"), "/usr/share/zoneinfo/Etc/UTC"},

		{"timesyncd", timeServers("== timesyncd\n# /etc/systemd/timesyncd.conf\n[Time]\n#NTP=\nNTP=c\n"+
			"NTP=\nNTP=a b\nFallbackNTP=\n", []string{"b", "a"}), ""},
		{"chrony", timeServers("== chrony\n#pool x\nserver a iburst\nNTP=c\n", []string{"a"}), ""},
		{"ntpd", timeServers("== ntp\ntos minclock 1\nserver a iburst\n", []string{"a"}), ""},
		{"two services", timeServers("== timesyncd\nNTP=c\n== chrony\nserver a\n", []string{"a"}), "[a c]"},
		{"no time service", timeServers("NTP=a\n", []string{"a"}),
			"neither systemd-timesyncd nor chrony nor an ntpd runs"},
		{"other servers", timeServers("== timesyncd\nNTP=c\n", []string{"a"}), "[c]"},

		{"password refused", []Point{(&attempt{connected: true}).passwordRefused("ops", errors.New("x"))}, ""},
		{"password asked for",
			[]Point{(&attempt{connected: true, asked: []string{"password"}}).passwordRefused("ops", errors.New("x"))},
			"the server asks for one by password"},
		{"password taken", []Point{(&attempt{connected: true}).passwordRefused("ops", nil)}, "logged in"},
		{"nobody there", []Point{(&attempt{}).passwordRefused("ops", errors.New("refused"))}, "no connection: refused"},
		{"root let in", []Point{(&attempt{connected: true}).rootRefused(nil)}, "logged in"},
	} {
		var seen []string
		for _, p := range Failed(c.points) {
			seen = append(seen, p.Seen)
		}
		if got := strings.Join(seen, "; "); got != c.want || len(c.points) == 0 {
			t.Errorf("%s: failed with %q, want %q", c.name, got, c.want)
		}
	}
}

// What was not declared is noted, and is no failure.
func TestLoose(t *testing.T) {
	for _, c := range []struct {
		name string
		w    Want
		want bool // the point is a failure
	}{
		{"secure", Want{}, true},
		{"loose", Want{Loose: true}, false},
	} {
		p := c.w.weigh(false, failed("a", "b"))
		if got := len(Failed(p)) == 1; got != c.want || p[0].OK || p[0].Note == c.want {
			t.Errorf("%s: %+v", c.name, p)
		}
		if p := c.w.weigh(false, passed("a", "b")); !p[0].OK || p[0].Note {
			t.Errorf("%s: what holds is %+v", c.name, p)
		}
		if p := c.w.weigh(true, failed("a", "b")); len(Failed(p)) != 1 {
			t.Errorf("%s: what was declared is %+v", c.name, p)
		}
	}
	w := declared()
	w.Admin = "root"
	for _, c := range checks(w) {
		if strings.HasPrefix(c.command, "sudo -n ") && !strings.HasPrefix(c.command, "sudo -n -l -U ") {
			t.Errorf("root runs %s", c.command)
		}
	}
}

// FuzzDecide has a hostile server answer: whatever it says, there is a decision.
func FuzzDecide(f *testing.F) {
	for _, s := range []string{"", goodSSHD, "root:set",
		ruleset(chain("inet", "input", "input", "drop", dport("tcp", "22"), `{"accept": null}`)), "{}\n==\n",
		"== timesyncd\nNTP=\n== chrony\nserver\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, out string) {
		w := declared()
		w.Mounts, w.Zone, w.NTP, w.Hostname = []Mount{{"/srv", "x"}}, "UTC", []string{"a"}, "web-1"
		for _, c := range checks(w) {
			if points := c.decide(out); len(points) == 0 {
				t.Errorf("%s says nothing of %q", c.name, out)
			}
		}
	})
}
