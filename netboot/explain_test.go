package netboot

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestHolders(t *testing.T) {
	proc := fstest.MapFS{
		"net/udp": {Data: []byte(`   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  130: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  132: 0100007F:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
broken line
`)},
		"77/comm": {Data: []byte("dnsmasq\n")},
		"77/fd/4": {Data: []byte("socket:[4711]"), Mode: fs.ModeSymlink},
		"77/fd/5": {Data: []byte("socket:[4711]"), Mode: fs.ModeSymlink},
		"78/comm": {Data: []byte("other\n")},
		"78/fd/4": {Data: []byte("socket:[1]"), Mode: fs.ModeSymlink},
	}
	for port, want := range map[int][]string{67: {"dnsmasq (pid 77)"}, 69: nil, 4011: nil} {
		if got := holders(proc, port); !slices.Equal(got, want) {
			t.Errorf("holders(%d) = %q, want %q", port, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	tests := []struct {
		err  error
		port int
		want string
	}{
		{syscall.EACCES, 69, "opening UDP port 69 on eth7: the capability CAP_NET_BIND_SERVICE is missing"},
		{syscall.EPERM, 0, "opening a raw socket on eth7: the capability CAP_NET_RAW is missing"},
		{syscall.EADDRINUSE, 4011, "opening UDP port 4011 on eth7: used by "},
		{syscall.ENODEV, 67, "opening UDP port 67 on eth7: wrapped: no such device"},
	}
	for _, tt := range tests {
		if got := explain(fmt.Errorf("wrapped: %w", tt.err), "eth7",
			tt.port).Error(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("explain(%v, %d) = %q, want %q...", tt.err, tt.port, got, tt.want)
		}
	}
}
