package accounts

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"griddle/initramfs/passwd"
)

// system reads the accounts of one tree of a test: files named tree/passwd and so on. Those that every system needs may
// be missing.
func system(files map[string]string, tree string) *passwd.Accounts {
	table := func(name string, fields int) *passwd.Table {
		text, has := files[tree+"/"+name]
		if !has && slices.Contains([]string{"gshadow", "subuid", "subgid"}, name) {
			return nil
		}
		return passwd.Parse([]byte(text), fields)
	}
	return &passwd.Accounts{Passwd: table("passwd", passwd.UserFields), Shadow: table("shadow", passwd.ShadowFields),
		Group: table("group", passwd.GroupFields), GShadow: table("gshadow", passwd.GShadowFields),
		SubUID: table("subuid", passwd.SubIDFields), SubGID: table("subgid", passwd.SubIDFields)}
}

func text(a *passwd.Accounts) map[string]string {
	out := map[string]string{"passwd": string(a.Passwd.Bytes()), "shadow": string(a.Shadow.Bytes()),
		"group": string(a.Group.Bytes())}
	for name, t := range map[string]*passwd.Table{"gshadow": a.GShadow, "subuid": a.SubUID, "subgid": a.SubGID} {
		if t != nil {
			out[name] = string(t.Bytes())
		}
	}
	return out
}

func shells(path string) bool { return path != "/bin/zsh" }

// Each file of testdata is one merge: the files of old, image and new, and those of want. Files of want that are
// missing are as new has them. The file says has the sentences, or the conflicts.
func TestMerge(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/merge.txtar")
	if err != nil {
		t.Fatal(err)
	}
	cases, order := map[string]map[string]string{}, []string{}
	for _, f := range archive.Files {
		name, file, _ := strings.Cut(f.Name, "/")
		if cases[name] == nil {
			cases[name] = map[string]string{}
			order = append(order, name)
		}
		cases[name][file] = string(f.Data)
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := cases[name]
			image := system(files, "image")
			if files["image/passwd"] == "" {
				image = nil
			}
			to := system(files, "new")
			before := text(to)
			r, err := Merge(system(files, "old"), image, to, shells)
			says := ""
			for _, s := range r.Carried {
				says += "carried " + s + "\n"
			}
			for _, s := range r.Left {
				says += "left " + s + "\n"
			}
			if err != nil {
				if !errors.Is(err, ErrConflict) {
					t.Errorf("%v does not wrap ErrConflict", err)
				}
				says = err.Error() + "\n"
			}
			if says != files["says"] {
				t.Errorf("says\n%swant\n%s", says, files["says"])
			}
			if err != nil {
				return
			}
			check := func(to *passwd.Accounts) {
				t.Helper()
				for file, got := range text(to) {
					want, has := files["want/"+file]
					if !has {
						want = before[file]
					}
					if got != want {
						t.Errorf("%s is\n%swant\n%s", file, got, want)
					}
				}
			}
			check(to)
			if again, err := Merge(system(files, "old"), image, to, shells); err != nil || again.Carried != nil {
				t.Errorf("again: %q, %v", again.Carried, err)
			}
			check(to)
		})
	}
}

// Numbers that change are reported, so that files can follow.
func TestNumbers(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"image/passwd": "root:x:0:0::/:\ndb:x:110:120::/:\n", "image/group": "root:x:0:\ndb:x:120:\n",
		"old/passwd": "root:x:0:0::/:\ndb:x:110:120::/:\nmine:x:111:121::/:\n",
		"old/group":  "root:x:0:\ndb:x:120:\nmine:x:121:\n",
		"new/passwd": "root:x:0:0::/:\nweb:x:110:120::/:\ndb:x:111:121::/:\n",
		"new/group":  "root:x:0:\nweb:x:120:\ndb:x:121:\n"}
	to := system(files, "new")
	r, err := Merge(system(files, "old"), system(files, "image"), to, shells)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.UID) != 2 || r.UID[110] != 111 || r.UID[111] != 999 || len(r.GID) != 2 || r.GID[120] != 121 ||
		r.GID[121] != 999 {
		t.Errorf("numbers %v and %v", r.UID, r.GID)
	}
	if _, f := to.Passwd.Find("mine"); f == nil || f[2] != "999" || f[3] != "999" {
		t.Errorf("the service of the machine is %q", f)
	}
}

// The files of services that the new system does not have become those of no one else.
func TestOrphans(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"image/passwd": "root:x:0:0::/:\ntoor:x:0:0::/:\ndb:x:110:120::/:\nlog:x:111:121::/:\n",
		"old/passwd":   "root:x:0:0::/:\ntoor:x:0:0::/:\ndb:x:110:120::/:\nlog:x:111:121::/:\n",
		"image/group":  "root:x:0:\ndb:x:120:\nlog:x:121:\n", "old/group": "root:x:0:\ndb:x:120:\nlog:x:121:\n",
		"new/passwd": "root:x:0:0::/:\nweb:x:110:120::/:\n", "new/group": "root:x:0:\nweb:x:120:\nlast:x:65533:\n"}
	r, err := Merge(system(files, "old"), system(files, "image"), system(files, "new"), shells)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.UID) != 1 || r.UID[110] != 65533 || len(r.GID) != 1 || r.GID[120] != 65532 {
		t.Errorf("numbers %v and %v", r.UID, r.GID)
	}
}

// Whatever the files have, the users of the new system stay with their numbers, people of the machine come with theirs,
// and nothing changes the second time.
func FuzzMerge(f *testing.F) {
	f.Add("root:x:0:0::/:\nada:x:1000:1000::/:\n", "ada:h:::::::", "ada:x:1000:\nsudo:x:27:ada\n", "ada:100000:65536",
		"root:x:0:0::/:\n", "", "sudo:x:27:\n",
		"root:x:0:0::/:\nweb:x:33:33::/:\n", "web:*:::::::", "sudo:x:27:eve\n", "web:100000:65536")
	f.Add("a:x:100:100::/:\nb:x:101:100::/:\n+::::::", "", "a:x:100:b,c\n", "a:1:2\na:3:4", "", "", "",
		"b:x:100:1::/:\n-@x::::::", "::::::::", "a:x:101:", "")
	f.Fuzz(func(t *testing.T, op, osh, og, os, ip, ish, ig, np, nsh, ng, ns string) {
		files := map[string]string{"old/passwd": op, "old/shadow": osh, "old/group": og, "old/subuid": os,
			"image/passwd": ip, "image/shadow": ish, "image/group": ig,
			"new/passwd": np, "new/shadow": nsh, "new/group": ng, "new/subuid": ns}
		image := system(files, "image")
		if ip == "" {
			image = nil
		}
		before, to := system(files, "new"), system(files, "new")
		if _, err := Merge(system(files, "old"), image, to, shells); err != nil {
			return
		}
		for _, name := range names(before.Passwd) {
			if was, is := entry(before.Passwd, name), entry(to.Passwd, name); is == nil || is[2] != was[2] {
				t.Errorf("%q has become %q", was, is)
			}
		}
		for _, name := range names(system(files, "old").Passwd) {
			old, is := entry(system(files, "old").Passwd, name), entry(to.Passwd, name)
			if person(id(old)) && is != nil && is[2] != old[2] {
				t.Errorf("%q has become %q", old, is)
			}
			if image != nil && entry(image.Passwd, name) == nil && is == nil {
				t.Errorf("%q is gone", old)
			}
		}
		first := text(to)
		if _, err := Merge(system(files, "old"), image, to, shells); err != nil {
			t.Fatal(err)
		}
		for name, again := range text(to) {
			if again != first[name] {
				t.Errorf("%s is %q, then %q", name, first[name], again)
			}
		}
	})
}
