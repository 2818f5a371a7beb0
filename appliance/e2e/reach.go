package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Address gives the server one more address, with the length of its network: "10.78.0.1/24".
func (r *Room) Address(ctx context.Context, prefix string) error {
	return r.ip(ctx, "server", "address", "add", prefix, "dev", "eth0")
}

// Computer puts a computer on the LAN that is only an address, such as "10.77.0.9". Reach calls from it.
func (r *Room) Computer(ctx context.Context, name, address string) error {
	return r.makeHost(ctx, name, address)
}

// Reach returns an address of this computer, as HOST:PORT, that leads to the TCP port address on the LAN until Close.
// The calls come from the computer called from.
func (r *Room) Reach(from, address string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("reaching %s: %w", address, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	calls.Go(func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return // by Close
			}
			calls.Go(func() {
				there, err := dialFrom(ctx, r.namespace(from), address)
				if err != nil {
					r.logf("%s does not reach %s: %v", from, address, err)
					here.Close()
					return
				}
				join(ctx, here, there)
			})
		}
	})
	r.onClose(func() error {
		stop()
		err := l.Close()
		calls.Wait()
		return err
	})
	return l.Addr().String(), nil
}

// dialFrom connects from inside a network namespace. A socket belongs to the namespace of the thread that makes it.
func dialFrom(ctx context.Context, namespace, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this function
		done <- func() result {
			f, err := os.Open("/run/netns/" + namespace)
			if err != nil {
				return result{err: err}
			}
			defer f.Close()
			if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return result{err: fmt.Errorf("entering namespace %s: %w", namespace, err)}
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return result{conn, err}
		}()
	}()
	r := <-done
	return r.conn, r.err
}

// join carries bytes between two connections until one of them, or ctx, ends.
func join(ctx context.Context, a, b net.Conn) {
	closeBoth := func() { _ = errors.Join(a.Close(), b.Close()) }
	defer context.AfterFunc(ctx, closeBoth)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			closeBoth()
		})
	}
	both.Wait()
}
