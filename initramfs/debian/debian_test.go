package debian

import (
	"slices"
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	const targets = `Debian|http://mirror.example/debian/|bookworm|main
Debian|http://mirror.example/debian/|bookworm|contrib
Debian|http://mirror.example/debian-security/|bookworm-security|main
Debian|http://mirror.example/debian/|bookworm|main
Somebody|http://elsewhere.example/|stable|main
garbage
`
	const by = "deb [signed-by=" + Keyring + "] http://mirror.example/"
	both := []string{"main", "non-free-firmware"}
	for _, c := range []struct {
		name, targets string
		o             Options
		want          string
	}{
		{"as this computer has it", targets, Options{Components: both},
			by + "debian-security/ bookworm-security main non-free-firmware\n" +
				by + "debian/ bookworm main non-free-firmware\n"},
		{"another suite", targets, Options{Components: both[:1], Suite: "trixie"},
			by + "debian-security/ trixie-security main\n" + by + "debian/ trixie main\n"},
		{"no Debian", "Somebody|http://elsewhere.example/|stable|main\n", Options{Components: both}, ""},
	} {
		if got := sources(c.targets, c.o); got != c.want {
			t.Errorf("%s: sources =\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestKernelOf(t *testing.T) {
	for _, c := range []struct{ name, depends, want string }{
		{"linux-image-amd64", "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n",
			"linux-image-6.1.0-56-amd64"},
		{"linux-image-6.1.0-56-amd64", "linux-image-6.1.0-56-amd64\n  Depends: kmod\n |Depends: initramfs-tools\n",
			"linux-image-6.1.0-56-amd64"},
		{"linux-image-amd64", "linux-image-amd64\n  Depends: kmod\n", ""},
		{"vim", "vim\n  Depends: libc6\n", ""},
	} {
		if got := kernelOf(c.depends, c.name); got != c.want {
			t.Errorf("kernelOf(%q, %s) = %q, want %q", c.depends, c.name, got, c.want)
		}
	}
}

func TestLibrariesOf(t *testing.T) {
	got := librariesOf(`curl
  Depends: libc6
  Depends: libcurl4
  Depends: zlib1g
systemd
  PreDepends: libblkid1
  Depends: libcurl4
 |Depends: libfirst
  Depends: libsecond
  Depends: libthird:amd64
  Depends: <libvirtual>
    libprovider
  Depends: mount
`)
	want := []string{"libblkid1", "libc6", "libcurl4", "libfirst", "libthird"}
	if !slices.Equal(got, want) {
		t.Errorf("librariesOf = %v, want %v", got, want)
	}
}

func TestThereIn(t *testing.T) {
	got := thereIn(`gdisk:
  Installed: (none)
  Candidate: 1.0.9-2.1
  Version table:
     1.0.9-2.1 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
awk:
  Installed: (none)
  Candidate: (none)
  Version table:
less:
  Installed: 590-2
  Candidate: 590-2.1
`)
	if want := []string{"gdisk", "less"}; !slices.Equal(got, want) {
		t.Errorf("thereIn = %v, want %v", got, want)
	}
}

func TestFilesOf(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	got := filesOf("Reading package lists...\n" +
		"'http://m/pool/kbd_2.5.1-1_amd64.deb' kbd_2.5.1-1_amd64.deb 12 MD5Sum:12\n" +
		"'http://m/pool/a.deb' a_1%3a2_all.deb 345 SHA256:" + sum + "\n")
	want := []File{{"a_1%3a2_all.deb", sum}, {"kbd_2.5.1-1_amd64.deb", ""}}
	if !slices.Equal(got, want) {
		t.Errorf("filesOf = %+v, want %+v", got, want)
	}
}
