package stack

import (
	"errors"
	"strings"
	"testing"
)

var expandTests = []struct{ in, want, err string }{
	{in: "", want: ""},
	{in: "plain $x $ {", want: "plain $x $ {"},
	{in: "${secret.db}", want: "<secret.db>"},
	{in: "a${stack.name}b${self.number}", want: "a<stack.name>b<self.number>"},
	{in: "${role.head.addresses} ${role.head.address} ${role.head.outputs.t_1}",
		want: "<role.head.addresses> <role.head.address> <role.head.outputs.t_1>"},
	{in: "${server.db-1.address}", want: "<server.db-1.address>"},
	{in: "$${secret.db}", want: "${secret.db}"},
	{in: "$$${secret.db}", want: "$${secret.db}"},
	{in: "${HOME} ${x:-y} ${#a} ${} ${", want: "${HOME} ${x:-y} ${#a} ${} ${"},
	{in: "${secret} ${a.b-} ${.x} ${x..y} ${x.", want: "${secret} ${a.b-} ${.x} ${x..y} ${x.",
		err: `the reference "${a.b-}" is unknown`},
	{in: "${x..y} ${.x} ${x.", want: "${x..y} ${.x} ${x."},
	{in: "${secret.db", err: `the reference "${secret.db" is not closed by }`},
	{in: "${secret.db:-x}", err: `the reference "${secret.db" is not closed by }`},
	{in: "${secret.a.b}", err: `the reference "${secret.a.b}" is not ${secret.NAME}`},
	{in: "${secret.}", err: `the reference "${secret.}" is not ${secret.NAME}`},
	{in: "${role.head}", err: `the reference "${role.head}" is not ${role.NAME.…}`},
	{in: "${role.Head.address}", err: `the reference "${role.Head.address}" is not ${role.NAME.…}`},
	{in: "${role.head.output.x}",
		err: `the reference "${role.head.output.x}" is unknown: role has address, addresses, outputs`},
	{in: "${role.head.outputs}", err: `the reference "${role.head.outputs}" is not ${role.ROLE.outputs.NAME}`},
	{in: "${server.a.addresses}", err: `the reference "${server.a.addresses}" is unknown: server has address`},
	{in: "${self.name.x}", err: `the reference "${self.name.x}" is unknown: nothing is below name`},
	{in: "${stack.region}", err: `the reference "${stack.region}" is unknown: stack has name`},
	{in: "${sevrer.a.address}", err: `the reference "${sevrer.a.address}" is unknown: did you mean server?`},
}

func TestExpand(t *testing.T) {
	for _, c := range expandTests {
		got, err := Expand(c.in, func(r Reference) (string, error) {
			return strings.NewReplacer("${", "<", "}", ">").Replace(r.String()), nil
		})
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("Expand(%q) = %q, %v, want %s", c.in, got, err, c.err)
			}
			continue
		}
		if got != c.want || err != nil {
			t.Errorf("Expand(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	// What a reference stands for is not looked at again.
	if got, err := Expand("${secret.a}", func(Reference) (string, error) {
		return "${secret.a} $${", nil
	}); got != "${secret.a} $${" || err != nil {
		t.Errorf("Expand = %q, %v", got, err)
	}
	no := errors.New("not yet")
	if _, err := Expand("${secret.a}", func(Reference) (string, error) { return "", no }); !errors.Is(err, no) {
		t.Errorf("Expand = %v, want %v", err, no)
	}
}

func TestReferences(t *testing.T) {
	refs, err := References("${secret.b} ${secret.a} ${secret.b} $${secret.c} ${role.r.outputs.o}")
	if err != nil || len(refs) != 3 || refs[0].Name != "b" || refs[1].Name != "a" ||
		refs[2] != (Reference{"role", "r", "outputs", "o"}) {
		t.Errorf("References = %+v, %v", refs, err)
	}
}
