package bootscript

import (
	"strings"
	"testing"
)

// On a BIOS the other disk of a mirror is started where the first one is missing.
func TestOther(t *testing.T) {
	o := Options{Server: "http://10.77.0.1:8080", Disk: "/boot/bios/disk/1b4e28ba", Other: "/boot/bios/disk/5678abcd",
		System: true}
	const first, second = "imgfetch --name disk http://10.77.0.1:8080/boot/bios/disk/1b4e28ba || goto firmware\n" +
		"imgexec disk ||\n", "imgfetch --name other http://10.77.0.1:8080/boot/bios/disk/5678abcd || goto firmware\n" +
		"imgexec other ||\n"
	if got := string(Local(o)); !strings.Contains(got, first+second) {
		t.Errorf("the script is\n%s", got)
	}
	o.Other = "/boot/bios/disk/x y"
	if got := string(Local(o)); strings.Contains(got, "other") {
		t.Errorf("a path that cannot be is in the script\n%s", got)
	}
}
