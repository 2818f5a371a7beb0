package image

import (
	"slices"
	"testing"
)

func TestSSHCommand(t *testing.T) {
	for _, c := range []struct {
		program, where string
		create         bool
		want           []string // nil: an error
	}{
		{"", "ssh://host/srv/store", false, []string{"ssh", "-T", "host", "griddle store serve --stdio --store " +
			"'/srv/store'"}},
		{"", "ssh://me@host:2222/a%20b'c", true, []string{"ssh", "-T", "-p", "2222", "me@host",
			`griddle store serve --stdio --store '/a b'\''c' --create`}},
		{"plink -batch", "ssh://[fd00::1]/s", false, []string{"plink", "-batch", "fd00::1",
			"griddle store serve --stdio --store '/s'"}},
		{"", "ssh://host", false, nil},
		{"", "ssh://-oProxyCommand=x/s", false, nil},
		{"", "ssh://-l@host/s", false, nil},
		{"", "ssh://me:word@host/s", false, nil},
		{"", "ssh:///s", false, nil},
	} {
		got, err := sshCommand(c.program, c.where, c.create)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("sshCommand(%q, %q) = %q, %v, want %q", c.program, c.where, got, err, c.want)
		}
	}
}
