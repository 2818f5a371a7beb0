package cloud

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
)

func TestUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.sh.boot["worker-1"] = 3
		golden(t, "plan-new.txt", b.planned(t, plantest.Demo(), false))
		one := plantest.Demo()
		one.Settings.Parallel = 1 // for the order of lines
		b.up(t, one)
		golden(t, "up.txt", b.output())
		golden(t, "standing.txt", standing(b.m))
		w, _ := b.m.Server("demo", "worker-2")
		text := string(w.UserData)
		if !strings.Contains(text, "key of API_KEY tok-en c1 10.77.0.11 10.77.0.12") || strings.Contains(text, "${") {
			t.Errorf("worker-2 has user-data %q", text)
		}
		head, _ := b.m.Server("demo", "head-1")
		if string(head.UserData[:40]) != text[:len("#cloud-config\n# ")]+"head-1 "+
			strings.Fields(text)[3][:40-len("#cloud-config\n# head-1 ")] {
			t.Errorf("head-1 and worker-2 have other secrets: %q, %q", head.UserData, text)
		}

		// A second time nothing is made, asked of a server or built.
		b.said.Reset()
		ran, made := len(b.sh.ran), standing(b.m)
		p := b.up(t, plantest.Demo())
		if !p.Empty() {
			t.Errorf("a second Up plans\n%s", printed(t, p, false))
		}
		golden(t, "up-again.txt", b.output())
		if len(b.sh.ran) != ran || b.cat.built["web:1"] != 1 || standing(b.m) != made {
			t.Errorf("a second Up ran %q and built %v", b.sh.ran[ran:], b.cat.built)
		}
		for _, r := range b.m.All() {
			if n := b.m.Made(r.Kind, r.Stack, r.Name); n != 1 {
				t.Errorf("%s %s was made %d times", r.Kind, r.Name, n)
			}
		}
		golden(t, "plan-standing.txt", b.planned(t, plantest.Demo(), true))
	})
}

// TestImageIsCheckedBeforeItIsUploaded has the catalog find something wrong with an image: nothing is made.
func TestImageIsCheckedBeforeItIsUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cat.fault = errors.New("it has no sudo")
		_, err := b.Up(t.Context(), plantest.Demo(), Options{})
		if !errors.Is(err, b.cat.fault) || len(b.m.All()) > 0 || len(b.cat.built) > 0 {
			t.Errorf("Up = %v, and there is %v", err, b.m.All())
		}
		b.cat.fault = nil
		b.up(t, plantest.Demo())
		b.cat.fault = errors.New("it was good enough before")
		b.up(t, plantest.Demo()) // nothing is uploaded
	})
}

// TestSecretsAtRest looks for secrets in all that is written, and at the modes.
func TestSecretsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		w, _ := b.m.Server("demo", "worker-1")
		secret := strings.Fields(string(w.UserData))[3]
		if len(secret) != 24 {
			t.Fatalf("the generated secret is %q", secret)
		}
		err := filepath.Walk(filepath.Dir(b.State.Dir), func(path string, i os.FileInfo, err error) error {
			if err != nil || i.IsDir() {
				return err
			}
			if i.Mode().Perm()&0o077 != 0 && filepath.Base(path) != "lock" {
				t.Errorf("%s has mode %v", path, i.Mode())
			}
			text, err := os.ReadFile(path)
			for _, s := range []string{secret, "tok-en", "key of API_KEY"} {
				if strings.Contains(string(text), s) {
					t.Errorf("%s has %q in it", path, s)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.said.String(), secret) {
			t.Error("the output has the secret")
		}
	})
}

func TestDrift(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*testing.T, *bench)
	}{
		{"server deleted", func(t *testing.T, b *bench) { b.m.Delete(provider.KindServer, "demo", "worker-1") }},
		{"image deleted", func(t *testing.T, b *bench) { b.m.Delete(provider.KindImage, "", "web-1-amd64") }},
		{"server failed",
			func(t *testing.T, b *bench) { b.m.Fail(provider.KindServer, "demo", "head-1", "its host died") }},
		{"server stopped", func(t *testing.T, b *bench) { b.m.PowerOff("demo", "worker-2") }},
		{"address deleted", func(t *testing.T, b *bench) { b.m.Delete(provider.KindAddress, "demo", "head-1") }},
		{"firewall deleted", func(t *testing.T, b *bench) { b.m.Delete(provider.KindFirewall, "demo", "role.worker") }},
		{"key deleted", func(t *testing.T, b *bench) { b.m.Delete(provider.KindKey, "demo", "admin") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.up(t, plantest.Demo())
				want := standing(b.m)
				c.do(t, b)
				golden(t, "drift-"+strings.ReplaceAll(c.name, " ", "-")+".txt", b.planned(t, plantest.Demo(), false))
				b.up(t, plantest.Demo())
				got := standing(b.m)
				// A server stays made from the image that is gone.
				if got != want && c.name != "image deleted" {
					t.Errorf("then there is\n%s, want\n%s", got, want)
				}
				if p := b.up(t, plantest.Demo()); !p.Empty() {
					t.Errorf("once more is planned\n%s", printed(t, p, false))
				}
			})
		})
	}
}
