package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// TestPlanRefuses has declarations that cannot be carried out: every server with a fault is named.
func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stack.Stack)
		lacks  map[provider.Kind]string
		want   []string
	}{
		{"images", func(s *stack.Stack) { s.Servers[0].Image, s.Servers[2].Image = "a", "b" }, nil,
			[]string{"head-1: image a", "worker-2: image b"}},
		{"lacks", func(s *stack.Stack) {},
			map[provider.Kind]string{provider.KindVolume: "no disks", provider.KindAddress: "no network"},
			[]string{"head-1: a public address: no network", "head-1: volumes: no disks"}},
		{"address twice", func(s *stack.Stack) {
			s.Servers[0].Address, s.Servers[1].Address = netip.MustParseAddr("10.77.0.9"),
				netip.MustParseAddr("10.77.0.9")
		}, nil, []string{"head-1 and worker-1: both want 10.77.0.9"}},
		{"address elsewhere", func(s *stack.Stack) { s.Servers[0].Address = netip.MustParseAddr("10.78.0.9") }, nil,
			[]string{"head-1: 10.78.0.9"}},
		{"address of the gateway", func(s *stack.Stack) { s.Servers[0].Address = netip.MustParseAddr("10.77.0.1") },
			nil, []string{"head-1: 10.77.0.1"}},
		{"too many rules", func(s *stack.Stack) {
			for i := range uint16(60) {
				s.Servers[0].Ports = append(s.Servers[0].Ports,
					stack.Port{Protocol: "tcp", From: 1000 + i, To: 1000 + i})
			}
		}, nil, []string{"it has 124 rules"}},
	} {
		s := plantest.Demo()
		c.change(s)
		m := &providertest.Memory{}
		f := m.Features()
		f.Lacks = c.lacks
		_, err := Make(Input{Stack: s, State: &state.State{}, Features: f,
			Versions: map[string]string{"web:stable@amd64": "web:1"}, Key: plantest.Key, Render: plantest.Render})
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: Decide = %v, want %q in it", c.name, err, w)
			}
		}
	}
	m := &providertest.Memory{About: provider.Features{Name: "memory", Format: provider.Raw, UserData: 10}}
	_, err := Make(Input{Stack: plantest.Demo(), State: &state.State{}, Features: m.Features(),
		Versions: map[string]string{"web:stable@amd64": "web:1"}, Render: plantest.Render})
	if !errors.Is(err, provider.ErrInvalid) || strings.Count(err.Error(), "user-data has") != 3 {
		t.Errorf("with 10 bytes of user-data, Decide = %v", err)
	}
}

func TestAddresses(t *testing.T) {
	net := func(prefix string, names ...string) *stack.Stack {
		s := &stack.Stack{Network: stack.Network{Prefix: netip.MustParsePrefix(prefix)}}
		for _, n := range names {
			name, wanted, _ := strings.Cut(n, "=")
			v := stack.Server{Name: name}
			if wanted != "" {
				v.Address = netip.MustParseAddr(wanted)
			}
			s.Servers = append(s.Servers, v)
		}
		return s
	}
	old := func(of ...string) map[string]*state.Server {
		m := make(map[string]*state.Server)
		for i := 0; i < len(of); i += 2 {
			m[of[i]] = &state.Server{Private: netip.MustParseAddr(of[i+1])}
		}
		return m
	}
	many := strings.Fields(strings.Repeat("x ", 12))
	for i := range many {
		many[i] = fmt.Sprintf("s%02d", i)
	}
	for _, c := range []struct {
		name  string
		s     *stack.Stack
		old   map[string]*state.Server
		taken map[netip.Addr]string
		want  string // addresses, or what the error says
	}{
		{"new", net("10.0.0.0/24", "a", "b"), nil, nil, "10.0.0.10 10.0.0.11"},
		{"kept", net("10.0.0.0/24", "b", "a"), old("a", "10.0.0.10", "b", "10.0.0.11"), nil, "10.0.0.11 10.0.0.10"},
		{"a hole", net("10.0.0.0/24", "b", "c"), old("b", "10.0.0.11"), nil, "10.0.0.11 10.0.0.10"},
		{"declared", net("10.0.0.0/24", "a", "b=10.0.0.10"), nil, nil, "10.0.0.11 10.0.0.10"},
		{"declared what another has", net("10.0.0.0/24", "a", "b=10.0.0.10"), old("a", "10.0.0.10"), nil,
			"10.0.0.11 10.0.0.10"},
		{"another network", net("10.1.0.0/24", "a", "b"), old("a", "10.0.0.10", "b", "10.0.0.11"), nil,
			"10.1.0.10 10.1.0.11"},
		{"others' things", net("10.0.0.0/24", "a"), nil,
			map[netip.Addr]string{netip.MustParseAddr("10.0.0.10"): "old-1"}, "10.0.0.11"},
		{"its own that the state lost", net("10.0.0.0/24", "a"), nil,
			map[netip.Addr]string{netip.MustParseAddr("10.0.0.10"): "a"}, "10.0.0.10"},
		{"the smallest", net("10.0.0.0/28", many[:11]...), nil, nil,
			"10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 10.0.0.9"},
		{"too small", net("10.0.0.0/28", many...), nil, nil,
			"server s11: no address of the network 10.0.0.0/28 is free"},
	} {
		got, err := Addresses(c.s, c.old, c.taken)
		var text []string
		for _, v := range c.s.Servers {
			if err == nil {
				text = append(text, got[v.Name].String())
			}
		}
		if err != nil {
			text = []string{err.Error()}
		}
		if strings.Join(text, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, strings.Join(text, " "), c.want)
		}
	}
}

func TestFirewalls(t *testing.T) {
	s := plantest.Demo()
	s.SSH = stack.SSH{Port: 2222, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	s.Servers = append(s.Servers, stack.Server{Name: "alone"})
	rules, of := Firewalls(s)
	want := map[string]string{"head-1": "role.head", "worker-1": "role.worker", "worker-2": "role.worker",
		"alone": "server.alone"}
	for name, firewall := range want {
		if of[name] != firewall {
			t.Errorf("%s has firewall %s, want %s", name, of[name], firewall)
		}
	}
	if got := rules["role.worker"]; !slices.Equal(got,
		[]provider.Rule{{Protocol: "tcp", From: 2222, To: 2222, Source: s.SSH.From[0]}}) {
		t.Errorf("workers have rules %v", got)
	}
	if got := rules["role.head"]; len(got) != 3 {
		t.Errorf("the head has rules %v", got)
	}
}
