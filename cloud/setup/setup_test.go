package setup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"griddle/cloud/stack"
	"griddle/imagestore/durable"
)

var update = flag.Bool("update", false, "write goldens anew")

func offers() Offers {
	return Offers{
		Regions: func(f Found) ([]Choice, error) { return []Choice{{"RegionOne", ""}, {"RegionTwo", "far"}}, nil },
		Sizes: func(f Found, region string) ([]Choice, error) {
			return []Choice{{"m1.small", "1 CPU, 2 GiB"}, {"m1.large " + region, "4 CPUs, 8 GiB"}}, nil
		},
		Images: func() ([]Choice, error) { return nil, errors.New("the catalog is empty") },
	}
}

func accounts() []Found {
	return []Found{{Provider: "qemu", From: "/usr/bin/qemu-system-x86_64"},
		{Provider: "openstack", Account: "site", Region: "RegionTwo", From: "/etc/openstack/clouds.yaml"},
		{Provider: "openstack", Account: "test", From: "/etc/openstack/clouds.yaml"}}
}

// TestRun writes files by answers of a person, of a file, and of both, and compares them and what was on the screen.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, typed string
		answers     map[string]string
		found       []Found
		offers      Offers
	}{
		{"person", "\n2\n\n\npublic\nweb:stable\n2\nmany\n3\nroot\nadmin\n\n", nil, accounts(), offers()},
		{"defaults", "\n\nweb\nsmall\n\n\n\n", nil, nil, Offers{}},
		{"answers", "", map[string]string{"name": "fleet", "provider": "openstack", "account": "test",
			"region": "RegionOne", "external": "", "image": "web:stable", "size": "m1.small", "count": "2",
			"admin": "ops", "key": "keys.pub"}, accounts(), offers()},
		{"lxd", "", map[string]string{"name": "box", "provider": "lxd", "image": "web", "size": "small", "count": "1",
			"admin": "ops", "key": "keys.pub"}, []Found{{Provider: "lxd", From: "/var/snap/lxd/common/lxd/unix.socket",
			Socket: "/var/snap/lxd/common/lxd/unix.socket"}}, Offers{}},
		{"both", "b-1\n", map[string]string{"name": "x", "provider": "qemu", "image": "web", "count": "2",
			"admin": "ops", "key": "keys.pub"}, nil, Offers{}},
	} {
		dir := filepath.Join(t.TempDir(), "My Stack")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var screen bytes.Buffer
		o := Options{Path: filepath.Join(dir, "stack.yaml"), Found: c.found, Offers: c.offers, Answers: c.answers}
		if c.typed != "" {
			o.Ask = Prompt{bufio.NewReader(strings.NewReader(c.typed)), &screen}
		}
		made, err := Run(t.Context(), o)
		if !made || err != nil {
			t.Errorf("%s: Run = %v, %v; the screen:\n%s", c.name, made, err, &screen)
			continue
		}
		b, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stack.Parse("stack.yaml", b); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if i, err := os.Stat(o.Path); err != nil || i.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", c.name, i.Mode(), err)
		}
		golden(t, c.name+".yaml", string(b))
		golden(t, c.name+".screen", screen.String())

		// A second run is silent and asks nobody.
		made, err = Run(t.Context(), Options{Path: o.Path, Ask: nobody{t}})
		after, _ := os.ReadFile(o.Path)
		if made || err != nil || !bytes.Equal(after, b) {
			t.Errorf("%s: the second Run = %v, %v", c.name, made, err)
		}
	}
}

type nobody struct{ t *testing.T }

func (n nobody) Ask(_ context.Context, q Question, _ error) (string, error) {
	n.t.Errorf("asked for %s", q.Key)
	return "", io.EOF
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s = \n%s\nwant (%v)\n%s", name, got, err, want)
	}
}

// TestRunFails leaves no file behind.
func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string]string
		ask     Asker
		want    string
	}{
		{"bad answer", map[string]string{"name": "No"}, nil, `answering name: "No" is not a DNS label`},
		{"unanswered", map[string]string{"name": "x", "provider": "qemu"}, nil, "answering image: an answer is needed"},
		{"not asked", map[string]string{"name": "x", "provider": "qemu", "region": "r", "image": "a", "size": "b",
			"key": "k"}, nil, "answering region: this provider does not need it"},
		{"end", nil, Prompt{bufio.NewReader(strings.NewReader("")), io.Discard}, "asking for name: unexpected EOF"},
		{"count", map[string]string{"name": "x", "provider": "qemu", "image": "a", "size": "b", "count": "0"}, nil,
			`answering count: "0" is not a number from 1 to 1000`},
		{"a line more", map[string]string{"name": "x", "provider": "qemu", "image": "a", "size": "b\nroles: {}"}, nil,
			"answering size: it must be one line"},
	} {
		path := filepath.Join(t.TempDir(), "stack.yaml")
		made, err := Run(t.Context(), Options{Path: path, Answers: c.answers, Ask: c.ask})
		if made || err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: Run = %v, %v, want %s", c.name, made, err, c.want)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the file is there: %v", c.name, err)
		}
	}
}

// TestRunLate has the file appear while questions are asked.
func TestRunLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.yaml")
	disk := durable.Disk{Before: func(o *durable.Op) error {
		if o.Kind == durable.Link {
			return os.WriteFile(path, []byte("another's"), 0o600)
		}
		return nil
	}}
	made, err := Run(t.Context(),
		Options{Path: path, Disk: disk, Answers: map[string]string{"image": "a", "size": "b"}})
	b, _ := os.ReadFile(path)
	if made || !errors.Is(err, fs.ErrExist) || string(b) != "another's" {
		t.Errorf("Run = %v, %v, the file %q", made, err, b)
	}
}

func TestFind(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o600} }
	clouds := "clouds:\n  b: {region_name: two, auth: {password: s3cret}}\n  a: {auth: {}}\n"
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		env   map[string]string
		want  []Found
	}{
		{name: "nothing"},
		{"qemu", fstest.MapFS{"usr/bin/qemu-system-x86_64": {Mode: 0o755}, "opt/qemu-system-x86_64": {Mode: 0o644}},
			map[string]string{"PATH": "/opt:relative:/usr/bin"},
			[]Found{{Provider: "qemu", From: "/usr/bin/qemu-system-x86_64"}}},
		{"lxd", fstest.MapFS{"var/lib/lxd/unix.socket": {Mode: fs.ModeSocket | 0o660}}, nil,
			[]Found{{Provider: "lxd", From: "/var/lib/lxd/unix.socket"}}},
		{"lxd elsewhere", fstest.MapFS{"var/lib/lxd/unix.socket": {Mode: fs.ModeSocket},
			"x/unix.socket": {Mode: fs.ModeSocket}}, map[string]string{"LXD_DIR": "/x"},
			[]Found{{Provider: "lxd", From: "/x/unix.socket", Socket: "/x/unix.socket"}}},
		{"lxd of the snap", fstest.MapFS{"var/lib/lxd/unix.socket": {Mode: fs.ModeSocket},
			"var/snap/lxd/common/lxd/unix.socket": {Mode: fs.ModeSocket}}, nil,
			[]Found{{Provider: "lxd", From: "/var/snap/lxd/common/lxd/unix.socket",
				Socket: "/var/snap/lxd/common/lxd/unix.socket"}}},
		{"lxd by its variable", fstest.MapFS{"var/lib/lxd/unix.socket": {Mode: fs.ModeSocket},
			"y.socket": {Mode: fs.ModeSocket}}, map[string]string{"LXD_SOCKET": "/y.socket"},
			[]Found{{Provider: "lxd", From: "/y.socket", Socket: "/y.socket"}}},
		{"incus", fstest.MapFS{"var/lib/incus/unix.socket": {Mode: fs.ModeSocket}}, nil,
			[]Found{{Provider: "lxd", From: "/var/lib/incus/unix.socket", Socket: "/var/lib/incus/unix.socket"}}},
		{"no socket", fstest.MapFS{"var/lib/lxd/unix.socket": {}}, nil, nil},
		{"variables", nil, map[string]string{"OS_AUTH_URL": "https://x", "OS_USERNAME": "u", "OS_REGION_NAME": "r",
			"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu"},
			[]Found{{Provider: "openstack", Region: "r", From: "OS_AUTH_URL"},
				{Provider: "ec2", Region: "eu", From: "AWS_ACCESS_KEY_ID"}}},
		{"half variables", nil, map[string]string{"OS_AUTH_URL": "https://x", "AWS_ACCESS_KEY_ID": "a"}, nil},
		{"clouds", fstest.MapFS{"home/me/.config/openstack/clouds.yaml": file(clouds),
			"etc/openstack/clouds.yaml": file("clouds: {c: {}}")},
			nil, []Found{{Provider: "openstack", Account: "a", From: "/home/me/.config/openstack/clouds.yaml"},
				{Provider: "openstack", Account: "b", Region: "two", From: "/home/me/.config/openstack/clouds.yaml"}}},
		{"chosen cloud", fstest.MapFS{"site/clouds.yaml": file(clouds)}, map[string]string{"OS_CLOUD": "b"},
			[]Found{{Provider: "openstack", Account: "b", Region: "two", From: "/site/clouds.yaml"},
				{Provider: "openstack", Account: "a", From: "/site/clouds.yaml"}}},
		{"clouds with merge keys", fstest.MapFS{"etc/openstack/clouds.yaml": file("base: &b {region_name: r}\n" +
			"clouds: {a: {<<: *b}, b: {<<: [{}, *b], region_name: s}}")}, nil,
			[]Found{{Provider: "openstack", Account: "a", Region: "r", From: "/etc/openstack/clouds.yaml"},
				{Provider: "openstack", Account: "b", Region: "s", From: "/etc/openstack/clouds.yaml"}}},
		{"clouds of clouds", fstest.MapFS{"etc/openstack/clouds.yaml": file("a: &a [x, x, x, x, x, x, x, x]\n" +
			strings.Repeat("b: &a [*a, *a, *a, *a, *a, *a, *a, *a]\n", 20))}, nil, nil},
		{"broken clouds", fstest.MapFS{"etc/openstack/clouds.yaml": file("clouds: [")}, nil, nil},
		{"aws", fstest.MapFS{"home/me/.aws/credentials": file("[work]\naws_access_key_id = a\n[default]\nregion=x\n"),
			"home/me/.aws/config": file("[default]\nregion = eu-1\n[profile work]\nregion = us-1\n" +
				"[sso-session s]\nregion = no\n")}, nil,
			[]Found{{Provider: "ec2", Account: "default", Region: "eu-1", From: "/home/me/.aws/config"},
				{Provider: "ec2", Account: "work", Region: "us-1", From: "/home/me/.aws/config"}}},
		{"aws chosen", fstest.MapFS{"c": file("[a]\n[b]\n")}, map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/c",
			"AWS_PROFILE": "b", "AWS_REGION": "r"}, []Found{{Provider: "ec2", Account: "b", Region: "r", From: "/c"},
			{Provider: "ec2", Account: "a", Region: "r", From: "/c"}}},
		{"large", fstest.MapFS{"home/me/.aws/credentials": file("[a]\n" + strings.Repeat("#", maxFile))}, nil, nil},
	} {
		got := Find(Computer{Files: c.files, Getenv: func(k string) string { return c.env[k] },
			Home: "/home/me", Work: "/site"})
		if !(len(got) == 0 && len(c.want) == 0) && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: Find = %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestLXDSocket has a stack file name no socket: what it meant so far it means still, where that is there.
func TestLXDSocket(t *testing.T) {
	socket := &fstest.MapFile{Mode: fs.ModeSocket}
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		env   map[string]string
		want  string
	}{
		{"none", nil, nil, DefaultLXDSocket},
		{"the snap alone", fstest.MapFS{"var/snap/lxd/common/lxd/unix.socket": socket}, nil, snapSocket},
		{"both", fstest.MapFS{"var/snap/lxd/common/lxd/unix.socket": socket, "var/lib/lxd/unix.socket": socket},
			nil, DefaultLXDSocket},
		{"a variable", fstest.MapFS{"x": socket, "var/lib/lxd/unix.socket": socket},
			map[string]string{"LXD_SOCKET": "/x"}, "/x"},
		{"a variable that is wrong", fstest.MapFS{"var/lib/lxd/unix.socket": socket},
			map[string]string{"LXD_SOCKET": "/x"}, DefaultLXDSocket},
	} {
		if got := LXDSocket(Computer{Files: c.files,
			Getenv: func(k string) string { return c.env[k] }}); got != c.want {
			t.Errorf("%s: LXDSocket = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPublicKey(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  string
	}{
		{nil, ""},
		{[]string{"id_rsa.pub", "id_ecdsa.pub"}, "~/.ssh/id_ecdsa.pub"},
		{[]string{"id_rsa.pub", "id_ed25519.pub"}, "~/.ssh/id_ed25519.pub"},
	} {
		files := fstest.MapFS{}
		for _, f := range c.files {
			files["home/me/.ssh/"+f] = &fstest.MapFile{}
		}
		if got := PublicKey(Computer{Files: files, Home: "/home/me"}); got != c.want {
			t.Errorf("PublicKey with %q = %q, want %q", c.files, got, c.want)
		}
	}
}

func TestParseAnswers(t *testing.T) {
	got, err := ParseAnswers("f", []byte("name: x\ncount: 3\nexternal: ''\n"))
	if want := map[string]string{"name": "x", "count": "3", "external": ""}; err != nil || !maps.Equal(got, want) {
		t.Errorf("ParseAnswers = %v, %v, want %v", got, err, want)
	}
	for in, want := range map[string]string{
		"- a": "f:1:1: it must be a mapping of keys, not a list",
		"nmae: x\nname: [a]\n": "f:1:1: the key \"nmae\" is unknown; did you mean name?\n" +
			"f:2:7: name: it must be text or a whole number, not a list",
		"zzzzzzzz: x\n":            "f:1:1: the key \"zzzzzzzz\" is unknown; known are " + strings.Join(keys(), ", "),
		"name: a\nname: b\n":       "f:2:1: name: the key is already defined on line 1",
		strings.Repeat("#", 1<<20): "f:1:1: the file has 1048576 bytes, 8192 are allowed",
		"name: &a x\n":             "f:1:7: name: anchors (&) and aliases (*) are not allowed",
		"name:\n":                  "f:1:1: name: it has no value; leave the key out, or give it a value",
		"name: 1.5\n": "f:1:7: name: it must be text or a whole number, not 1.5; " +
			"put it in quotes: \"1.5\"",
		"a: b: c\n":                "f:1:4: this is not YAML: mapping value is not allowed in this context",
		"name: x\n---\ncount: 1\n": "f:3:1: there is a second document; write one document per file",
	} {
		if _, err := ParseAnswers("f", []byte(in)); err == nil || err.Error() != want {
			t.Errorf("ParseAnswers(%.40q) = %v, want %s", in, err, want)
		}
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte("name: x\ncount: 3\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseAnswers("f", b)
		for k := range got {
			if err == nil && !slices.Contains(keys(), k) {
				t.Fatalf("ParseAnswers(%q) = %v", b, got)
			}
		}
	})
}

func FuzzFind(f *testing.F) {
	f.Add([]byte("clouds: {a: {region_name: b}}"), []byte("[profile a]\nregion=x"))
	f.Fuzz(func(t *testing.T, clouds, config []byte) {
		files := fstest.MapFS{"etc/openstack/clouds.yaml": {Data: clouds}, "home/.aws/config": {Data: config}}
		Find(Computer{Files: files, Getenv: func(string) string { return "" }, Home: "/home"})
	})
}
