package fleet

import (
	"net"
	"slices"
	"testing"

	"griddle/netboot"
)

func TestReconfigure(t *testing.T) {
	f := open(t, Options{})
	if got := boots(t, f, macA); got != netboot.Menu {
		t.Errorf("before: %v, want the menu", got)
	}
	f.Reconfigure(Options{Unknown: StartAgent, Hostname: "host-{mac}", Args: []string{"console=ttyS1"}})
	spec, err := f.Boot(t.Context(), netboot.Machine{MAC: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0x0b}})
	if err != nil || spec.Action != netboot.Agent || !slices.Contains(spec.Args, "console=ttyS1") || spec.Kernel == "" {
		t.Errorf("after: %+v, %v", spec, err)
	}
	f.Reconfigure(Options{})
	if got := boots(t, f, macA); got != netboot.Menu {
		t.Errorf("with no options: %v, want the menu", got)
	}
}
