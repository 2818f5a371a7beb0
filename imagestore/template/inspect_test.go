package template

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func grow(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(to, p); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func header(class elf.Class, data elf.Data, machine elf.Machine) string {
	b := make([]byte, 64)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA] = byte(class), byte(data)
	if data == elf.ELFDATA2LSB {
		binary.LittleEndian.PutUint16(b[18:], uint16(machine))
	} else {
		binary.BigEndian.PutUint16(b[18:], uint16(machine))
	}
	return string(b)
}

// TestInspect looks at trees of all kinds: merged /usr, absolute links, other machines' programs, hostile ones.
func TestInspect(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n" +
		"ada:x:1000:1000:Ada:/home/ada:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Traits
	}{
		{"nothing", nil, Traits{Empty: true}},
		{"a file", map[string]string{"a": "b"}, Traits{}},
		{"a system", map[string]string{
			"bin": "-> usr/bin", "usr/bin/sh": "-> /usr/bin/dash",
			"usr/bin/dash": header(elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_AARCH64), "etc/passwd": passwd,
			"etc/shadow": "root:$y$j9T$salt$hash:1::::::\ndaemon:*:1::::::\nada:!:1::::::\n" +
				"bob:!$6$x$y:1::::::\n",
			"home/ada/.ssh/authorized_keys": "# mine\n\nssh-ed25519 AAAA ada\nssh-rsa BBBB ada\n",
			"root/.ssh/authorized_keys":     "",
		}, Traits{Arch: "arm64", Program: "/bin/sh",
			Accounts: []Account{{Name: "root", Password: true}, {Name: "ada", Keys: 2}}}},
		{"no password at all, and one in passwd", map[string]string{"etc/passwd": "root::0:0::/root:/bin/sh\n" +
			"old:abJnggxhB/yWI:1:1::/:/bin/sh\nx:x:2:2::/:/bin/sh\n", "etc/shadow": "root:*:::\n"},
			Traits{Accounts: []Account{{Name: "root", Password: true, Empty: true}, {Name: "old", Password: true}}}},
		{"links out of it", map[string]string{"etc": "-> /../../../../etc", "sbin/init": "-> /proc/self/exe",
			"bin/sh": "-> ../../../../../bin/sh"}, Traits{}},
		{"keys by way of a link", map[string]string{"etc/passwd": "a:x:1:1::/home/a:/bin/sh\n",
			"home/a/.ssh/authorized_keys": "-> /keys", "keys": "ssh-ed25519 A a"},
			Traits{Accounts: []Account{{Name: "a", Keys: 1}}}},
		{"odd names", map[string]string{"etc/passwd": "\x1b[31m::0:0::/:/\n::0:0::/:/\n+::::::\n" +
			strings.Repeat("n", 300) + "::0:0::/:/\nfew::\n"}, Traits{}},
		{"settings", map[string]string{"etc/griddle": "-> /opt", "opt/settings.yaml": "zone: UTC\n"},
			Traits{Settings: []byte("zone: UTC\n")}},
		{"no settings", map[string]string{"etc/griddle": "a file"}, Traits{}},
		{"settings by a loop", map[string]string{"etc/griddle/settings.yaml": "-> settings.yaml"}, Traits{}},
		{"sparc", map[string]string{"sbin/init": header(elf.ELFCLASS32, elf.ELFDATA2MSB, elf.EM_SPARC)},
			Traits{Arch: "sparc", Program: "/sbin/init"}},
		{"no ELF", map[string]string{"bin/sh": "#!/bin/true\n"}, Traits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Inspect(t.Context(), grow(t, c.files))
			if err != nil || got.Empty != c.want.Empty || got.Arch != c.want.Arch || got.Program != c.want.Program ||
				!slices.Equal(got.Accounts, c.want.Accounts) || string(got.Settings) != string(c.want.Settings) {
				t.Errorf("Inspect = %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	if got, err := Inspect(t.Context(), "/"); err != nil || got.Arch != runtime.GOARCH {
		t.Errorf("this machine's own tree = %q, %v, want %s", got.Arch, err, runtime.GOARCH)
	}
}

// TestInspectBounds looks at a tree whose files are endless, or no files: what is looked for is not
// found, and nothing hangs.
func TestInspectBounds(t *testing.T) {
	dir := grow(t, map[string]string{"etc/passwd": strings.Repeat("a:x:1:1::/h:/bin/sh\n", 10), "h/.ssh/x": ""})
	users := ""
	for i := range 5000 {
		users += "u" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i%200) +
			"::1:1::/h:/bin/sh\n"
	}
	for _, err := range []error{os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(users), 0o644),
		unix.Mkfifo(filepath.Join(dir, "h/.ssh/authorized_keys"), 0o644),
		unix.Mkfifo(filepath.Join(dir, "etc/shadow"), 0o644),
		os.MkdirAll(filepath.Join(dir, "bin/sh"), 0o755), os.Mkdir(filepath.Join(dir, "sbin"), 0o755),
		unix.Mknod(filepath.Join(dir, "sbin/init"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "etc/passwd"), 1<<40); err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(t.Context(), dir)
	if err != nil || got.Arch != "" || len(got.Accounts) == 0 || len(got.Accounts) > maxAccounts {
		t.Errorf("Inspect = %q, %d accounts, %v", got.Arch, len(got.Accounts), err)
	}
}

// FuzzInspect gives it passwd, shadow, keys and a program of any bytes.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("root:x:0:0::/:/bin/sh\n"), []byte("root:$6$a$b:::\n"), []byte("ssh-rsa A\n"),
		[]byte(header(elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_X86_64)))
	f.Fuzz(func(t *testing.T, passwd, shadow, keys, program []byte) {
		dir := grow(t, map[string]string{"etc/passwd": string(passwd), ".ssh/authorized_keys": string(keys),
			"bin/sh": "#" + string(program)})
		if err := os.WriteFile(filepath.Join(dir, "etc/shadow"), shadow, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Inspect(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if a := elfArch(program); a != "" && !bytes.HasPrefix(program, []byte(elf.ELFMAG)) {
			t.Errorf("%q is of %s", program, a)
		}
		for _, a := range got.Accounts {
			if a.Name == "" || len(a.Name) > maxName || !a.Password && a.Keys == 0 {
				t.Errorf("%+v", a)
			}
		}
	})
}
