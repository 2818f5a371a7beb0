package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"griddle/appliance/site/notice"
)

// noticeFile is the newest signed notice, in the state directory.
const noticeFile = "notice"

// noticeKeeper makes the site's notice again when something in it changed. It implements api.Notices.
type noticeKeeper struct {
	s *server

	mu     sync.Mutex
	signed []byte
	now    notice.Notice
	agent  agentFile
}

// Signed returns the signed head and the signed notice. A notice is in the state directory before a machine gets it, so
// that its number is used once.
func (k *noticeKeeper) Signed(ctx context.Context) (signedHead, signed []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if signedHead, err = k.s.store.Head(ctx); err != nil {
		return nil, nil, err
	}
	at, err := k.s.contents(ctx)
	if err != nil {
		return nil, nil, err
	}
	next := notice.Notice{Time: k.s.now(), At: at}
	if next.Agent, err = k.agent.read(k.s.bootDir); err != nil {
		// Machines keep the agent that they have.
		k.s.log.Warn("reading the agent for installed machines failed", "error", err)
	}
	if k.signed == nil {
		k.load()
	}
	if k.signed != nil && reflect.DeepEqual(k.now.At, next.At) && reflect.DeepEqual(k.now.Agent, next.Agent) {
		return signedHead, k.signed, nil
	}
	// Numbers grow by time, so that those of a restored backup are higher than what machines saw.
	next.Seq = max(k.now.Seq+1, next.Time.Unix())
	b, err := next.Sign(k.s.store.Key)
	if err == nil {
		err = k.s.state.write(noticeFile, b, 0o644)
	}
	if err != nil {
		return nil, nil, err
	}
	k.signed, k.now = b, next
	k.s.log.Info("signed a notice for installed machines", "number", next.Seq, "agent", versionOf(next.Agent))
	return signedHead, k.signed, nil
}

// load takes the notice of the last run. One that does not count is replaced.
func (k *noticeKeeper) load() {
	b, err := os.ReadFile(k.s.state.path(noticeFile))
	if err == nil {
		var n notice.Notice
		if n, err = notice.Open(b, k.s.store.Key.Public()); err == nil {
			k.signed, k.now = b, n
			return
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		k.s.log.Warn("the last notice for installed machines is not valid, and is replaced", "error", err)
	}
}

func versionOf(a *notice.Agent) string {
	if a == nil {
		return "none"
	}
	return a.Version
}

// The agent for installed machines, in the directory of the boot files: mkboot writes both.
const (
	agentName = "griddle-agent"
	buildName = "griddle-agent.json" // version and time, as initramfs.Build
)

// agentFile remembers the hash of the agent's file, which is read again when it changes.
type agentFile struct {
	size    int64
	changed time.Time
	agent   *notice.Agent
}

// read describes the agent in the directory of the boot files, nil for boot files without one.
func (f *agentFile) read(bootDir string) (*notice.Agent, error) {
	file, err := os.Open(filepath.Join(bootDir, agentName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if f.agent != nil && st.Size() == f.size && st.ModTime().Equal(f.changed) {
		return f.agent, nil
	}
	doc, err := os.ReadFile(filepath.Join(bootDir, buildName))
	if err != nil {
		return nil, err
	}
	var build struct {
		Version string `json:"version"`
		Time    int64  `json:"time"`
	}
	if err := json.Unmarshal(doc, &build); err != nil {
		return nil, fmt.Errorf("%s: %w", buildName, err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return nil, err
	}
	f.size, f.changed = st.Size(), st.ModTime()
	f.agent = &notice.Agent{Version: build.Version, Built: build.Time, Size: st.Size(),
		SHA256: hex.EncodeToString(sum.Sum(nil)), Path: "/boot/" + agentName}
	return f.agent, nil
}
