package setting

import (
	"slices"
	"strings"
	"testing"

	"griddle/appliance/setting"
)

// Whatever an image has in its files, they are changed without a panic, keep their other lines in order, and let the
// user in once.
func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\nada:x:1000:1000:::\n+::::::\n", "root:*:::::::\n", "ada:x:1:\n", "a:b\n",
		"ada:1:2\n")
	f.Add("root:x:0:0::/root:/bin/sh", "ada\n\nada:!:::::::", "x:x:999:ada,,\n-a:::", "", "x:4294967295:4294967295")
	f.Add("root::0:0::/:\nada:x:99999999999:-1:::", "", "video:x:x:", ":::", "")
	f.Fuzz(func(t *testing.T, passwd, shadow, group, gshadow, subuid string) {
		w := &writer{Dir: tree(t, t.TempDir())}
		a := &accounts{parse([]byte(passwd), passwdFields), parse([]byte(shadow), shadowFields),
			parse([]byte(group), groupFields), parse([]byte(gshadow), gshadowFields),
			parse([]byte(subuid), subidFields), nil}
		u := setting.User{Name: "ada", FullName: "Ada", PasswordHash: "!", Groups: []string{"video"}}
		if err := w.user(a, u, nil); err != nil {
			return
		}
		if err := a.join("video", "ada"); err != nil {
			return
		}
		a.lock()
		if _, err := a.passwd.account("ada"); err != nil {
			t.Errorf("there is no ada: %v", err)
		}
		if _, f := a.shadow.find("ada"); f == nil || f[1] != "!" {
			t.Errorf("her password is %q", f)
		}
		for _, was := range parse([]byte(passwd), passwdFields).lines {
			if a.passwd.split(was) == nil && !slices.Contains(a.passwd.lines, was) {
				t.Errorf("the line %q is gone", was)
			}
		}
		if again := parse(a.passwd.bytes(), passwdFields).bytes(); string(again) != string(a.passwd.bytes()) {
			t.Errorf("passwd changes when it is read again")
		}
		for _, line := range a.shadow.lines {
			if f := a.shadow.split(line); f != nil && !strings.HasPrefix(f[1], "!") && !strings.HasPrefix(f[1], "*") {
				t.Errorf("%q is not locked", line)
			}
		}
	})
}
