package pool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"griddle/initramfs/bootloader"
)

const switchEnv = "GRIDDLE_TEST_SWITCH"

// switchForEver lets two roots boot in turn.
func switchForEver(top, esp string) {
	p := &Pool{place: Place{Job: "1b4e28ba-2fa1-11d2-883f-0016d3cca427"}, dir: top, esp: esp}
	fmt.Println("begun")
	for {
		for _, name := range []string{"two@amd64", "one@amd64"} {
			if err := p.Boot(name); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
}

// A switch that is killed anywhere leaves the old root or the new one, with all arguments, and the next one works.
func TestSwitchIsKilled(t *testing.T) {
	p, _ := installed(t)
	seen := map[string]int{}
	begun := time.Now()
	for _, name := range []string{"two@amd64", "one@amd64"} {
		if err := p.Boot(name); err != nil {
			t.Fatal(err)
		}
	}
	turn := time.Since(begun) // of a machine that may be slow
	for range 40 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), switchEnv+"="+p.dir+":"+p.esp)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(2*turn + 30*time.Millisecond))
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("the switch ended by itself: %v", err)
		}
		conf, err := bootloader.ReadConfig(p.esp)
		if err != nil || len(conf.Args) != 2 || conf.PoolID != poolID {
			t.Fatalf("after a kill grub.cfg is %+v, %v", conf, err)
		}
		c, err := p.Read()
		if err != nil || c.NoBoots != nil || len(c.Roots) != 3 || c.Good != c.Boots {
			t.Fatalf("after a kill the pool is %+v, %v", c, err)
		}
		seen[c.Boots]++
	}
	if len(seen) != 2 || seen["one@amd64"] == 0 || seen["two@amd64"] == 0 {
		t.Errorf("the kills left %v; want both roots", seen)
	}
	if err := p.Boot("one@amd64"); err != nil {
		t.Error(err)
	}
}
