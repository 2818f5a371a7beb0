package imagestore_test

import (
	"errors"
	"fmt"
	"testing"

	"griddle/imagestore/catalog"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
)

func TestChannelsSetAndRemoved(t *testing.T) {
	for _, remote := range []bool{false, true} {
		f := newFixture(t)
		if remote {
			f = f.overServer()
		}
		for _, r := range []string{"web:1@amd64", "web:1@arm64", "web:2@amd64", "team/db:1@amd64"} {
			f.publish(r, way{"", imagetest.Bytes(1, 1000)})
		}
		for _, c := range []catalog.Channel{{Template: "web", Name: "stable", Version: "1"},
			{Template: "web", Name: "testing", Version: "2"}, {Template: "team/db", Name: "stable", Version: "1"},
			{Template: "web", Name: "testing", Version: "1"}} {
			if err := f.s.SetChannel(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		list := func(want string, filters ...string) {
			t.Helper()
			got, err := f.s.Channels(t.Context(), filters...)
			if err != nil || fmt.Sprint(got) != want {
				t.Errorf("Channels(%q) = %v, %v, want %s", filters, got, err, want)
			}
		}
		list("[{{team/db stable 1} [team/db:1@amd64]} {{web stable 1} [web:1@amd64 web:1@arm64]} {{web testing 1} " +
			"[web:1@amd64 web:1@arm64]}]")
		list("[{{web testing 1} [web:1@amd64 web:1@arm64]}]", "web:test*")
		list("[]", "db")
		if err := f.s.RemoveChannel(t.Context(), "web", "testing"); err != nil {
			t.Fatal(err)
		}
		list("[{{web stable 1} [web:1@amd64 web:1@arm64]}]", "web")
		if _, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:testing")); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Resolve of a channel that was removed = %v, want ErrNotFound", err)
		}
		if l, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:stable@amd64")); err != nil ||
			len(l.Channels) != 1 ||
			l.Channels[0] != "stable" {
			t.Errorf("Resolve of the other = %+v, %v", l.Channels, err)
		}
		for _, tt := range []struct {
			err  error
			want error
		}{
			{f.s.RemoveChannel(t.Context(), "web", "testing"), catalog.ErrNotFound},
			{f.s.RemoveChannel(t.Context(), "web", "a b"), ref.ErrInvalid},
			{f.s.SetChannel(t.Context(), catalog.Channel{Template: "web", Name: "stable", Version: ""}),
				ref.ErrInvalid},
			{f.s.SetChannel(t.Context(), catalog.Channel{Template: "web", Name: "stable", Version: "3"}),
				catalog.ErrNotFound},
			{f.s.SetChannel(t.Context(), catalog.Channel{Template: "web", Name: "2", Version: "1"}), catalog.ErrExists},
			{f.s.SetChannel(t.Context(), catalog.Channel{Template: "web", Name: "latest", Version: "1"}),
				ref.ErrInvalid},
		} {
			if !errors.Is(tt.err, tt.want) {
				t.Errorf("got %v, want %v", tt.err, tt.want)
			}
		}
		// The name of a channel that was removed is free for a version.
		f.publish("web:testing@amd64", way{"", imagetest.Bytes(1, 1000)})
		if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "team/db:1@amd64")); err != nil {
			t.Fatal(err)
		}
		list("[{{team/db stable 1} []}]", "team/*:*")
	}
}
