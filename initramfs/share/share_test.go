package share

import "testing"

func TestFolder(t *testing.T) {
	for line, want := range map[string]struct {
		folder string
		ours   bool
	}{
		"":                                       {"", false},
		"# a:/b /srv/c nfs x-griddle.share 0 0":  {"", false},
		"a:/b /srv/c nfs":                        {"", false},
		"a:/b /srv/c nfs nofail,x-griddle.share": {"/srv/c", true},
		`a:/b /srv/my\040lab nfs x-griddle.share 0 0`: {"/srv/my lab", true},
		"a:/b /srv/c nfs x-griddle.shares 0 0":        {"/srv/c", false},
	} {
		if folder, ours := Folder(line); folder != want.folder || ours != want.ours {
			t.Errorf("Folder(%q) = %q, %v, want %v", line, folder, ours, want)
		}
	}
	if got := Escape("/srv/my lab"); got != `/srv/my\040lab` {
		t.Errorf("Escape = %q", got)
	}
}
