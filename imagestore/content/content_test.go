package content

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}

func TestWriteToGolden(t *testing.T) {
	m := &Manifest{Entries: []Entry{
		{Path: ".", Type: Directory, Mode: 0o755, Mtime: Time{1700000000, 0}},
		{Path: "\xffbyte", Type: Fifo, Mode: 0o600},
		{Path: "a b=c\\d\n", Type: Regular, Mode: 0o4755, UID: 4294967294, GID: 42,
			Mtime: Time{-2, 999999999}, Size: 5},
		{Path: "dev", Type: Directory, Mode: 0o1777},
		{Path: "dev-x", Type: Socket, Mode: 0o777},
		{Path: "dev/null", Type: CharDevice, Mode: 0o666, Major: 1, Minor: 3},
		{Path: "dev/vda", Type: BlockDevice, Mode: 0o660, GID: 6, Major: 254, Minor: 1048575},
		{Path: "dev/zzz", Type: HardLink, Target: "a b=c\\d\n"},
		{Path: "ping", Type: Regular, Mode: 0o755, Xattrs: []Xattr{
			{"security.capability", []byte{1, 0, 0, 2}}, {"user.empty", nil}, {"user.ä=", []byte("x")}}},
		{Path: "sh", Type: Symlink, Mode: 0o777, Target: "/bin/da sh"},
	}}
	// In order of bytes: \xff is the last.
	m.Entries = append(append(m.Entries[:1:1], m.Entries[2:]...), m.Entries[1])
	var got bytes.Buffer
	n, err := m.WriteTo(&got)
	if err != nil || n != int64(got.Len()) {
		t.Fatalf("WriteTo = %d, %v, want %d, nil", n, err, got.Len())
	}
	const golden = "testdata/manifest.txt"
	if updating() {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("WriteTo gave\n%s\nwant\n%s", got.Bytes(), want)
	}
	again, err := Parse(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	again.WriteTo(&second)
	if !bytes.Equal(second.Bytes(), want) {
		t.Errorf("WriteTo(Parse(golden)) gave\n%s\nwant\n%s", second.Bytes(), want)
	}
	if got, want := again.Size(), int64(5); got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	const root = "d . 0755 0 0 0.000000000\n"
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", "line 1"},
		{"other format", "griddle-content 2\n" + root, "line 1"},
		{"no root", header + "\n", "root is missing"},
		{"no final newline", header + "\n" + strings.TrimSuffix(root, "\n"), "middle of a line"},
		{"first is not the root", header + "\nd a 0755 0 0 0.000000000\n", "line 2: not a content manifest: the first"},
		{"root is a file", header + "\np . 0755 0 0 0.000000000\n", "root directory"},
		{"root twice", header + "\n" + root + root, "line 3"},
		{"dotdot", header + "\n" + root + "p ../a 0755 0 0 0.000000000\n", "plain path"},
		{"absolute", header + "\n" + root + "p /a 0755 0 0 0.000000000\n", "plain path"},
		{"empty part", header + "\n" + root + "d a 0755 0 0 0.000000000\np a//b 0755 0 0 0.000000000\n", "plain path"},
		{"NUL", header + "\n" + root + "p a\\x00b 0755 0 0 0.000000000\n", "not a possible path"},
		{"no parent", header + "\n" + root + "p a/b 0755 0 0 0.000000000\n", "no directory above"},
		{"parent is a file", header + "\n" + root + "p a 0755 0 0 0.000000000\np a/b 0755 0 0 0.000000000\n",
			"no directory above"},
		{"order", header + "\n" + root + "p b 0755 0 0 0.000000000\np a 0755 0 0 0.000000000\n", "comes after"},
		{"twice", header + "\n" + root + "p b 0755 0 0 0.000000000\np b 0755 0 0 0.000000000\n", "comes after"},
		{"escape of a plain byte", header + "\n" + root + "p \\x61 0755 0 0 0.000000000\n", "must be written"},
		{"upper case escape", header + "\n" + root + "p \\xFF 0755 0 0 0.000000000\n", "must be written"},
		{"cut escape", header + "\n" + root + "p \\xf 0755 0 0 0.000000000\n", "bad escape"},
		{"short mode", header + "\n" + root + "p a 755 0 0 0.000000000\n", "must be written"},
		{"long mode", header + "\n" + root + "p a 10755 0 0 0.000000000\n", "out of range"},
		{"short time", header + "\n" + root + "p a 0755 0 0 0.0\n", "must be written"},
		{"trailing space", header + "\n" + root + "p a 0755 0 0 0.000000000 \n", "must be written"},
		{"carriage return", header + "\r\n" + root, "line 1"},
		{"negative size", header + "\n" + root + "f a 0755 0 0 0.000000000 size=-1 sha256=" + sum + "\n", "bad size"},
		{"short digest", header + "\n" + root + "f a 0755 0 0 0.000000000 size=0 sha256=00\n", "bad digest"},
		{"file without size", header + "\n" + root + "f a 0755 0 0 0.000000000\n", `field "size="`},
		{"unknown type", header + "\n" + root + "x a 0755 0 0 0.000000000\n", "unknown type"},
		{"link below", header + "\n" + root + "h a to=b\np b 0755 0 0 0.000000000\n", "not above it"},
		{"link to a directory", header + "\n" + root + "d a 0755 0 0 0.000000000\nh b to=a\n", "is a directory"},
		{"link to a link", header + "\n" + root + "p a 0755 0 0 0.000000000\nh b to=a\nh c to=b\n", "is a hard link"},
		{"attributes out of order", header + "\n" + root + "p a 0755 0 0 0.000000000 x:user.b= x:user.a=\n",
			"out of order"},
		{"base64 with spare bits", header + "\n" + root + "p a 0755 0 0 0.000000000 x:user.b=YR==\n",
			"must be written"},
		{"storage attribute", header + "\n" + root + "p a 0755 0 0 0.000000000 x:btrfs.compression=\n",
			"bad attribute"},
		{"endless line", header + "\n" + strings.Repeat("x", MaxLine+1), "longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tt.in))
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%.100q) = %v, want ErrFormat with %q", tt.in, err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	golden, err := os.ReadFile("testdata/manifest.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(header + "\n"))
	f.Add([]byte(header + "\nd . 0755 0 0 -1.000000001 x:user.a=YQ==\nf a 0644 0 0 0.000000000 size=0 sha256=00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(bytes.NewReader(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		m.WriteTo(&out)
		if !bytes.Equal(out.Bytes(), b) {
			t.Errorf("WriteTo(Parse(b)) = %q, want %q", out.Bytes(), b)
		}
		load(m)
	})
}
