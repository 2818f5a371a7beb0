package cloud

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"griddle/cloud/bootreport"
	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/state"
)

// TestFirstBootFailed has a server answer, and say in each of the places where it can that its first boot failed.
func TestFirstBootFailed(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*bench)
		mend func(*bench)
		want []string // in the error
		said []string
	}{
		{"its own report", func(b *bench) {
			b.sh.files["worker-1 "+bootreport.Path] = "failed\nsudoers: ops cannot become root\n" +
				"sshd: this image has no " +
				"sshd\nscript: key of API_KEY\n"
			b.sh.files["worker-1 "+bootreport.Log] = "Setting up\n\x1b[31mE: no package sudo\x1b[0m\n" +
				"export KEY='key of " +
				"API_KEY' TOKEN=tok-en\n"
		}, func(b *bench) { b.sh.files["worker-1 "+bootreport.Path] = "done\n" },
			[]string{"its first boot failed: sudoers: ops cannot become root; sshd: " +
				"this image has no sshd; script: ***"},
			[]string{"server worker-1: the end of /var/log/cloud-init-output.log:\n        | Setting up\n" +
				"        | E: no package sudo\n        | export KEY='***' TOKEN=***\n"}},
		{"cloud-init's result", func(b *bench) {
			b.sh.exits["worker-1"] = 1
			b.sh.files["worker-1 "+
				bootreport.CloudInitResult] = `{"v1": {"datasource": "DataSourceNoCloud", "errors": ` +
				`["('users_groups', ProcessExecutionError())"]}}`
		}, func(b *bench) { b.sh.exits["worker-1"] = 0 },
			[]string{"cloud-init status: exit 1", "cloud-init: ('users_groups', ProcessExecutionError())"}, nil},
		{"cloud-init's status, by stage", func(b *bench) {
			b.sh.exits["worker-1"] = 1
			b.sh.files["worker-1 "+
				bootreport.CloudInitStatus] = `{"v1": {"init": {"errors": ["no datasource"], "start": ` +
				`1.5}, "stage": null}}`
		}, func(b *bench) { b.sh.exits["worker-1"] = 0 }, []string{"cloud-init: no datasource"}, nil},
		{"its console, while ssh does not answer", func(b *bench) {
			b.sh.boot["worker-1"] = 1000
			b.m.Print("demo", "worker-1", "[  OK  ] Started ssh\r\n")
		}, func(b *bench) { b.sh.boot["worker-1"] = 0 },
			[]string{"its first boot failed: sshd: this image has no sshd"},
			[]string{"server worker-1: the end of its console:\n        | griddle: first boot failed: worker-1\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.sh.files = map[string]string{}
				c.do(b)
				if b.sh.boot["worker-1"] > 0 {
					b.sh.hook = func(to Target, _ string) (bool, error) {
						if to.Server == "worker-1" && b.sh.boot["worker-1"] == 990 {
							b.m.Print("demo", "worker-1",
								"griddle: first boot failed: worker-1\r\ngriddle: sshd: this image has no sshd\r\n")
						}
						return false, nil
					}
				}
				_, err := b.Up(t.Context(), plantest.Demo(), Options{})
				if !errors.Is(err, ErrFirstBoot) {
					t.Fatalf("Up = %v\n%s", err, b.said)
				}
				for _, w := range c.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("Up = %v, want %q in it", err, w)
					}
				}
				for _, w := range append(c.said, "`griddle cloud up --rebuild worker-1`") {
					if !strings.Contains(b.said.String(), w) {
						t.Errorf("said is\n%s\nwant %q in it", b.said, w)
					}
				}
				for _, secret := range []string{"key of API_KEY", "tok-en"} {
					if strings.Contains(b.said.String()+err.Error(), secret) {
						t.Errorf("the secret %q is shown:\n%s", secret, b.said)
					}
				}
				s, err := b.State.Load("demo")
				if err != nil || s.Servers["worker-1"].Phase != state.Creating {
					t.Errorf("the state has %+v, %v", s.Servers["worker-1"], err)
				}
				// The next run looks again, and a rebuilt server counts.
				c.mend(b)
				if _, err := b.Up(t.Context(), plantest.Demo(), Options{Rebuild: []string{"worker-1"}}); err != nil {
					t.Errorf("Up with a new server = %v", err)
				}
				if n := b.m.Made(provider.KindServer, "demo", "worker-1"); n != 2 {
					t.Errorf("worker-1 was made %d times, want 2", n)
				}
			})
		})
	}
}

// TestFirstBootDisabled has cloud-init end without having done anything.
func TestFirstBootDisabled(t *testing.T) {
	for text, want := range map[string]string{"status: done\n": "done", "\nstatus: disabled\ndetail: x": "disabled",
		"status: not run": "not run", "nothing": ""} {
		if got := statusOf(text); got != want {
			t.Errorf("statusOf(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestAdviceNamesServers has several servers fail at once.
func TestAdviceNamesServers(t *testing.T) {
	err := &StageError{Err: errors.Join(errors.New("x"), &BootError{Server: "a", Reasons: []string{"r"}},
		&StageError{Err: &BootError{Server: "b", Reasons: []string{"r"}}})}
	if got := Advice(err); !strings.Contains(got, "--rebuild a,b`") {
		t.Errorf("Advice = %s", got)
	}
	if got := Advice(ErrFirstBoot); !strings.Contains(got, "--rebuild SERVER`") {
		t.Errorf("Advice = %s", got)
	}
}
