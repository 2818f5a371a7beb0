package job

import (
	"fmt"
	"strings"
	"time"
)

// Ways counts the encoded bytes by how they were received, and says how they are received now.
type Ways struct {
	Now       string        `json:"now,omitempty"` // "multicast", "http", "relay", or "waiting" for other machines
	Multicast int64         `json:"multicast,omitempty"`
	Repair    int64         `json:"repair,omitempty"` // parity, of Multicast
	Relay     int64         `json:"relay,omitempty"`  // HTTP from a neighbour
	HTTP      int64         `json:"http,omitempty"`   // HTTP from the server
	Machines  int           `json:"machines,omitempty"`
	Loss      float64       `json:"loss,omitempty"` // 0 to 1, of datagrams
	Wait      time.Duration `json:"wait,omitempty"` // until the wait ends by itself
	Why       string        `json:"why,omitempty"`  // why multicast is not used
}

// String is one line for people.
func (w Ways) String() string {
	total := w.Multicast + w.Relay + w.HTTP
	share := func(n int64) string { return fmt.Sprintf("%d %%", int(float64(n)/float64(total)*100+0.5)) }
	var parts []string
	for _, p := range []struct {
		n    int64
		name string
	}{{w.Multicast, "multicast"}, {w.Relay, "HTTP from a neighbour"}, {w.HTTP, "HTTP"}} {
		if p.n > 0 {
			parts = append(parts, share(p.n)+" "+p.name)
		}
	}
	if len(parts) > 0 {
		parts = []string{strings.Join(parts, ", ")}
	}
	switch w.Now {
	case "waiting":
		s := "waiting for other machines with this image"
		if w.Wait > 0 {
			s += fmt.Sprintf(", at most %s", w.Wait.Round(time.Second))
		}
		parts = append(parts, s)
	case "multicast":
		s := "to this machine only"
		if w.Machines > 1 {
			s = fmt.Sprintf("to %d machines at once", w.Machines)
		}
		if w.Loss >= 0.001 {
			s += fmt.Sprintf(", %.1f %% lost and repaired", 100*w.Loss)
		}
		parts = append(parts, s)
	case "http", "relay":
		if w.Why != "" {
			parts = append(parts, "no multicast: "+Sentence(w.Why))
		}
	}
	return strings.Join(parts, "; ")
}
