package ntfs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"griddle/initramfs/ntfs/ntfstest"
	"griddle/initramfs/ntfs/volume"
)

// shrinkIt has the device of the volume that this process shrinks, until it is killed.
const shrinkIt = "GRIDDLE_TEST_SHRINK"

// shrinks prints a line when data begins to move.
func shrinks(device string) {
	_, err := Shrink(context.Background(), Options{Device: device, To: ntfstest.End, Journal: &book{},
		Progress: func(p Progress) {
			if p.Phase == "moving data" {
				fmt.Println(p.Phase)
			}
		}})
	fmt.Println(err)
	os.Exit(1)
}

// TestCallerKilled kills the program that called Shrink. ntfsresize runs to its end, and until then no one else can
// claim the volume.
func TestCallerKilled(t *testing.T) {
	for range 10 {
		if callerKilled(t) {
			return
		}
	}
	t.Error("ntfsresize had always ended before the program was killed: this test proves nothing")
}

// callerKilled returns whether ntfsresize ran after the kill.
func callerKilled(t *testing.T) (ran bool) {
	v := fresh(t)
	begun := begins(t, v, ntfstest.End)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), shrinkIt+"="+v.Device)
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "moving data\n" {
		t.Errorf("the program says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for {
		_, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &book{}, Begun: &begun})
		if r, _ := findRefusal(err); r.Reason == InUse {
			ran = true
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Errorf("Shrink, continued = %v", err)
		}
		break
	}
	v.Attach(t, ntfstest.End)
	if err := Prove(t.Context(), v.Device, begun); err != nil {
		t.Error(err)
	}
	if !maps.Equal(v.Files(t), base(t).files) {
		t.Error("the files are not the same")
	}
	return ran
}

// TestRepairCut cuts a repair between its two writes.
func TestRepairCut(t *testing.T) {
	v := fresh(t)
	begun := begins(t, v, moves)
	log := record(t, v, moves)
	c := apply(t, log[:find(t, log).moved+1000])
	dev := must[*os.File](t)(os.OpenFile(c.Device, os.O_RDWR, 0))
	defer dev.Close()
	half := must[*volume.Volume](t)(volume.Read(dev))
	first := must[[]byte](t)(half.FirstRecords(dev))
	if _, err := dev.WriteAt(first, half.MirrorCluster()*4096); err != nil {
		t.Fatal(err)
	}
	c.survives(t, begun, StateSplit)
}

// TestEntryOnWire writes an entry as JSON, as journals do, and reads it.
func TestEntryOnWire(t *testing.T) {
	e := Entry{Step: StepSave, Begun: Begun{Serial: 1<<64 - 1, From: 1 << 62, To: 1 << 61, Files: 3, Log: "ab"},
		Clusters: 7, Saved: []Piece{{At: 5, Bytes: []byte{0, 255}}}}
	b := must[[]byte](t)(json.Marshal(e))
	var got Entry
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%s is read as %+v, %v", b, got, err)
	}
}
