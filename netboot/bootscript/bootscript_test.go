package bootscript

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens again")

func options(uefi bool) Options {
	return Options{
		Server: "http://10.77.0.1:8080", UEFI: uefi, Title: "52:54:00:12:34:56",
		Kernel: "/boot/vmlinuz", Initrds: []string{"/boot/initramfs", "/boot/site.cpio"},
		Volume: "GR-1B4E28BA", Disk: "/boot/bios/disk/1b4e28ba-2fa1-11d2-883f-0016d3cca427", System: true,
		Memory: "/boot/bios/memory",
		Args:   []string{"console=tty0", "console=ttyS0,115200", "quiet"},
	}
}

func TestScripts(t *testing.T) {
	plain := func(f func(Options) []byte) func(Options) ([]byte, error) {
		return func(o Options) ([]byte, error) { return f(o), nil }
	}
	tests := []struct {
		name string
		make func(Options) ([]byte, error)
	}{
		{"local", plain(Local)},
		{"installed", Installed},
		{"foreign", plain(func(o Options) []byte {
			o.Volume, o.Disk, o.System = "", "/boot/bios/disk/any", false
			return Local(o)
		})},
		{"shared", func(o Options) ([]byte, error) {
			o.Volume, o.Disk = "", "/boot/bios/disk/1b4e28ba"
			return Installed(o)
		}},
		{"agent", Agent},
		{"menu", Menu},
		{"failure", plain(func(o Options) []byte { return Failure(o, "reading the job: no such table \"jobs\"") })},
	}
	for _, tt := range tests {
		for _, firmware := range []string{"bios", "uefi"} {
			t.Run(tt.name+"-"+firmware, func(t *testing.T) {
				got, err := tt.make(options(firmware == "uefi"))
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", tt.name+"-"+firmware+".ipxe")
				if *update {
					if err := os.WriteFile(path, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: got\n%s\nwant\n%s(%v)", path, got, want, err)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
	}{
		{"variable in an argument", func(o *Options) { o.Args = []string{"a=${net0/mac}"} }},
		{"space in an argument", func(o *Options) { o.Args = []string{"a b"} }},
		{"line break in an argument", func(o *Options) { o.Args = []string{"a\nshell"} }},
		{"command in an argument", func(o *Options) { o.Args = []string{"||"} }},
		{"comment", func(o *Options) { o.Args = []string{"#"} }},
		{"quote", func(o *Options) { o.Args = []string{`"`} }},
		{"backslash", func(o *Options) { o.Args = []string{`a\`} }},
		{"zero byte", func(o *Options) { o.Args = []string{"a\x00"} }},
		{"not ASCII", func(o *Options) { o.Args = []string{"ä"} }},
		{"empty argument", func(o *Options) { o.Args = []string{""} }},
		{"variable in the memory program", func(o *Options) { o.Memory = "/${uuid}" }},
		{"variable in a path", func(o *Options) { o.Kernel = "/${uuid}" }},
		{"relative path", func(o *Options) { o.Kernel = "vmlinuz" }},
		{"no kernel", func(o *Options) { o.Kernel = "" }},
		{"path that ends as an option", func(o *Options) { o.Initrds = []string{"/boot/--name"} }},
		{"two initrds of one name", func(o *Options) { o.Initrds = []string{"/a/x", "/b/x"} }},
		{"hostile server", func(o *Options) { o.Server = "http://x\n" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(true)
			tt.change(&o)
			if s, err := Agent(o); err == nil {
				t.Errorf("Agent gives\n%s", s)
			}
			if s, err := Menu(o); err == nil {
				t.Errorf("Menu gives\n%s", s)
			}
		})
	}
}

// A path that could add a command starts nothing, and leaves the disk to the firmware.
func TestHostileDisk(t *testing.T) {
	for _, p := range []string{"/boot/bios/disk/x\nshell", "/boot/bios/disk/${uuid}", "disk",
		"/boot/bios/disk/--name", ""} {
		o := options(false)
		o.Disk = p
		if got, want := string(Local(o)), "#!ipxe\necho Griddle: starting the local disk\nexit 1\n"; got != want {
			t.Errorf("Local with the disk program %q gives\n%s\nwant\n%s", p, got, want)
		}
	}
}

// Whatever the text, the script has the same lines.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "x", "${net0/mac}", "a\nshell\n", "a || shell", `"\`, "#", "\x00\x1b[31m",
		"-n", strings.Repeat("ä", 999)} {
		f.Add(s)
	}
	o := options(false)
	lines := bytes.Count(Failure(o, "x"), []byte("\n"))
	f.Fuzz(func(t *testing.T, s string) {
		b := Failure(o, s)
		if n := bytes.Count(b, []byte("\n")); n != lines {
			t.Errorf("%d lines, want %d:\n%s", n, lines, b)
		}
		if line := strings.Split(string(b), "\n")[1]; strings.ContainsAny(line, "${}\\\"'`#&|\r\x00") {
			t.Errorf("line %q", line)
		}
	})
}
