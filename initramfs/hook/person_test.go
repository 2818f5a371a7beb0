package hook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/initramfs/chroot"
	"griddle/initramfs/hook"
)

// person gives its answers in order, and types into a shell.
type person struct {
	*testing.T
	answers  []hook.Answer
	typed    string
	asked    []hook.Failure
	greeting string
	shown    string // by the shell
}

func (p *person) Ask(_ context.Context, f hook.Failure) (hook.Answer, error) {
	p.asked = append(p.asked, f)
	if len(p.answers) == 0 {
		return hook.GiveUp, errors.New("the job is over")
	}
	a := p.answers[0]
	p.answers = p.answers[1:]
	return a, nil
}

func (p *person) Terminal(greeting string, use func(tty *os.File, term string) error) error {
	p.greeting = greeting
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		p.Fatal(err)
	}
	defer ptmx.Close()
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0)); err != nil {
		p.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		p.Fatal(err)
	}
	if _, err := ptmx.WriteString(p.typed); err != nil {
		p.Fatal(err)
	}
	err = use(tty, "vt220")
	_ = tty.Close()
	shown, _ := io.ReadAll(ptmx)
	p.shown = string(shown)
	return err
}

// A person retries, repairs with a shell, skips and gives up.
func TestPerson(t *testing.T) {
	const failing = "echo tried >>/log; echo missing /etc/repaired; [ -e /etc/repaired ]"
	for _, c := range []struct {
		name    string
		answers []hook.Answer
		log     string
		asked   int
		want    string // error
		events  []string
	}{
		{name: "skip", answers: []hook.Answer{hook.Skip}, log: "tried\nlast\n", asked: 1, events: []string{
			"WARNING hook 10-join of the settings is skipped: it ended with exit status 1"}},
		{name: "retry and give up", answers: []hook.Answer{hook.Retry, hook.GiveUp}, log: "tried\ntried\n", asked: 2,
			want: "the hook failed: hook 10-join of the settings: it ended with exit status 1: missing /etc/repaired"},
		{name: "shell and retry", answers: []hook.Answer{hook.Shell, hook.Retry}, asked: 2,
			log: "tried\nlab-07 /root 700,/run/griddle/10-join vt220\ntried\nlast\n"},
		{name: "the job ends", asked: 1, log: "tried\n", want: "the job is over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &person{T: t, answers: c.answers, typed: "echo $GRIDDLE_MACHINE $HOME " +
				"$(stat -c %a,%n $(ls /run/griddle/*)) $TERM >>/log; touch /etc/repaired; exit 5\n"}
			s := newSystem(t, nil)
			s.o.Person, s.o.Machine.Name = p, "lab-07"
			err := s.run(script("10-join", failing), script("last", "echo last >>/log"))
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("Run = %v, want %q", err, c.want)
			}
			if got := s.read("log"); got != c.log {
				t.Errorf("the hooks wrote %q, want %q", got, c.log)
			}
			want := hook.Failure{Name: "10-join", Origin: hook.Settings, Kind: chroot.Exited,
				Reason: "it ended with exit status 1", Last: []string{"missing /etc/repaired"}}
			if len(p.asked) != c.asked || !reflect.DeepEqual(p.asked[0], want) {
				t.Errorf("asked %+v, want %d times %+v", p.asked, c.asked, want)
			}
			for _, e := range append(c.events, "WARNING hook 10-join of the settings: "+
				"it ended with exit status 1: missing /etc/repaired; the machine waits for an answer on its screen") {
				if !slices.Contains(s.events, e) {
					t.Errorf("events are %q, want %q", s.events, e)
				}
			}
			if slices.Contains(c.answers, hook.Shell) && p.greeting !=
				"This is a shell in the new system, as root. The hook 10-join of the settings failed.\n"+
					"It is /run/griddle/10-join.\n\"exit\" returns to the question." {
				t.Errorf("the greeting is %q", p.greeting)
			}
		})
	}
}

// A secret script is on no disk, and in no event, question, error, argument or variable, whatever it prints.
func TestSecret(t *testing.T) {
	const canary = "canary-7hWq"
	s := newSystem(t, nil)
	p := &person{T: t, answers: []hook.Answer{hook.Shell, hook.GiveUp},
		typed: "grep -r canary-7h /run /etc /tmp; exit\n"}
	s.o.Person = p
	seen := make(chan string, 1)
	secret := script("10-join", "set -x\nPASSWORD="+canary+"\necho $PASSWORD; not-a-command-$PASSWORD\n"+
		"while [ ! -e /tmp/seen ]; do sleep 0.05; done; exit 1")
	secret.Secret = true
	go func() {
		for !strings.Contains(processes(t), "10-join") {
		}
		seen <- processes(t)
		s.write("tmp/seen", "", 0o644)
	}()
	err := s.run(secret)
	if err == nil || !strings.HasSuffix(err.Error(), "10-join of the settings: it ended with exit status 1") {
		t.Errorf("Run = %v", err)
	}
	secret.Script = "#!/bin/" + canary + "\n"
	p.answers = []hook.Answer{hook.GiveUp}
	events := s.events
	again := s.run(secret)
	events = append(events, s.events...)
	for name, text := range map[string]string{"the error": err.Error(), "the second error": again.Error(),
		"the events": strings.Join(events, "\n"), "the question": fmt.Sprintf("%+v", p.asked),
		"the greeting": p.greeting,
		"the shell":    strings.ReplaceAll(p.shown, "canary-7h /run", ""), "the processes": <-seen} {
		if strings.Contains(text, "canary-7h") {
			t.Errorf("%s has the secret: %s", name, text)
		}
	}
	if left, _ := exec.Command("grep", "-rl", canary, s.dir).Output(); len(left) > 0 {
		t.Errorf("the disk has the secret: %s", left)
	}
	if !slices.Contains(s.events, "its output is not shown, because the hook is secret") {
		t.Errorf("events are %q", s.events)
	}
}

// processes is the arguments and variables of all processes.
func processes(t *testing.T) string {
	var all []byte
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			b, _ := os.ReadFile(f) // it may have ended
			all = append(append(all, b...), '\n')
		}
	}
	return string(all)
}
