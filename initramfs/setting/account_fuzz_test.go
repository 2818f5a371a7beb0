package setting

import (
	"slices"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/initramfs/passwd"
)

// Whatever an image has in its files, they are changed without a panic, keep their other lines in order, and let the
// user in once.
func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\nada:x:1000:1000:::\n+::::::\n", "root:*:::::::\n", "ada:x:1:\n", "a:b\n",
		"ada:1:2\n")
	f.Add("root:x:0:0::/root:/bin/sh", "ada\n\nada:!:::::::", "x:x:999:ada,,\n-a:::", "", "x:4294967295:4294967295")
	f.Add("root::0:0::/:\nada:x:99999999999:-1:::", "", "video:x:x:", ":::", "")
	f.Fuzz(func(t *testing.T, users, shadow, group, gshadow, subuid string) {
		w := &writer{Dir: tree(t, t.TempDir())}
		a := &accounts{&passwd.Accounts{Passwd: passwd.Parse([]byte(users), passwd.UserFields),
			Shadow:  passwd.Parse([]byte(shadow), passwd.ShadowFields),
			Group:   passwd.Parse([]byte(group), passwd.GroupFields),
			GShadow: passwd.Parse([]byte(gshadow), passwd.GShadowFields),
			SubUID:  passwd.Parse([]byte(subuid), passwd.SubIDFields)}}
		u := setting.User{Name: "ada", FullName: "Ada", PasswordHash: "!", Groups: []string{"video"}}
		if err := w.user(a, u, nil); err != nil {
			return
		}
		if err := a.join("video", "ada"); err != nil {
			return
		}
		a.lock()
		if _, err := a.entry("ada"); err != nil {
			t.Errorf("there is no ada: %v", err)
		}
		if _, f := a.Shadow.Find("ada"); f == nil || f[1] != "!" {
			t.Errorf("her password is %q", f)
		}
		for _, was := range passwd.Parse([]byte(users), passwd.UserFields).Lines {
			if a.Passwd.Split(was) == nil && !slices.Contains(a.Passwd.Lines, was) {
				t.Errorf("the line %q is gone", was)
			}
		}
		again := passwd.Parse(a.Passwd.Bytes(), passwd.UserFields).Bytes()
		if string(again) != string(a.Passwd.Bytes()) {
			t.Errorf("passwd changes when it is read again")
		}
		for _, line := range a.Shadow.Lines {
			if f := a.Shadow.Split(line); f != nil && !strings.HasPrefix(f[1], "!") && !strings.HasPrefix(f[1], "*") {
				t.Errorf("%q is not locked", line)
			}
		}
	})
}
