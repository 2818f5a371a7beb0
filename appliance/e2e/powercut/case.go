package powercut

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Case is one power cut: all that chance decides.
type Case struct {
	Kind  Kind
	Kexec bool // a live update restarts without the firmware

	Step  int           // in the Timeline
	After time.Duration // since the step began

	// Again is when the power goes a second time, after the machine was switched on again; 0 for never.
	Again time.Duration
	// Network has the machine start from the network afterwards, and not from its disk.
	Network bool
	// End has the case wait until the job is over, and judge what the machine runs then.
	End bool
}

// Draw draws a case. The same arguments give the same case.
func Draw(seed uint64, firmware string, k Kind, n int) Case {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", firmware, k, n)
	chance := rand.New(rand.NewPCG(seed, h.Sum64()))
	c := Case{Kind: k, Kexec: k == Live && chance.IntN(2) == 0}
	line := Timeline(k, c.Kexec)
	var whole time.Duration
	for _, s := range line {
		whole += s.Usual
	}
	at := time.Duration(chance.Int64N(int64(whole)))
	for at >= line[c.Step].Usual {
		at -= line[c.Step].Usual
		c.Step++
	}
	c.After = at
	if chance.IntN(6) == 0 {
		c.Again = time.Second + time.Duration(chance.Int64N(int64(45*time.Second)))
	}
	c.End = chance.IntN(5) == 0
	switch k {
	case First: // there may be nothing on its disk to start
		c.Network, c.End = true, true
	case Network, Reinstall:
		c.Network = c.End
	case Live:
		c.Network = c.End && chance.IntN(2) == 0
	}
	return c
}

// String says when the power is cut.
func (c Case) String() string {
	way := ""
	if c.Kexec {
		way = ", kexec"
	}
	s := fmt.Sprintf("%s%s: cut %.2f s after %q began", c.Kind, way, c.After.Seconds(),
		Timeline(c.Kind, c.Kexec)[c.Step].Name)
	if c.Again > 0 {
		s += fmt.Sprintf(", and %.2f s after the next power on", c.Again.Seconds())
	}
	if c.Network {
		s += ", then a start from the network"
	}
	if c.End {
		s += ", to the end of the job"
	}
	return s
}
