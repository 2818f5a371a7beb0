package main

import "testing"

func TestSources(t *testing.T) {
	const targets = `Debian|http://mirror.example/debian/|bookworm|main
Debian|http://mirror.example/debian/|bookworm|contrib
Debian|http://mirror.example/debian-security/|bookworm-security|main
Debian|http://mirror.example/debian/|bookworm|main
Somebody|http://elsewhere.example/|stable|main
garbage
`
	got := sources(targets, "/k.gpg")
	want := `deb [signed-by=/k.gpg] http://mirror.example/debian-security/ bookworm-security main non-free-firmware
deb [signed-by=/k.gpg] http://mirror.example/debian/ bookworm main non-free-firmware
`
	if got != want {
		t.Errorf("sources =\n%swant\n%s", got, want)
	}
	if got := sources("Somebody|http://elsewhere.example/|stable|main\n", "/k.gpg"); got != "" {
		t.Errorf("sources without Debian = %q, want nothing", got)
	}
}
