package proxy

import (
	"slices"
	"testing"

	"griddle/appliance/setting"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	s := setting.Settings{Domain: "example.org", Proxy: "http://proxy:3128/%41"}
	vars := Variables(s)
	for _, want := range []string{"https_proxy=http://proxy:3128/%41",
		"NO_PROXY=localhost,127.0.0.1,::1,.example.org"} {
		if !slices.Contains(vars, want) {
			t.Errorf("Variables = %q, want %q among them", vars, want)
		}
	}
	want := `[Manager]
DefaultEnvironment="http_proxy=http://proxy:3128/%%41" "https_proxy=http://proxy:3128/%%41" "no_proxy=localhost,127.0.0.1,::1"
`
	if got := Manager(setting.Settings{Proxy: s.Proxy}); got != want {
		t.Errorf("Manager = %s, want %s", got, want)
	}
	want = `Acquire::http::Proxy "http://proxy:3128/%41";
Acquire::https::Proxy "http://proxy:3128/%41";
`
	if got := Apt(s); got != want {
		t.Errorf("Apt = %s, want %s", got, want)
	}
}
