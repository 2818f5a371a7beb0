package parity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens anew")

// source is n bytes that are the same on every machine.
func source(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

func testCode(t testing.TB, k, r, symbol int) *Code {
	t.Helper()
	c, err := New(k, r, symbol)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The vectors are the wire: a library that computes others cannot talk to what is installed.
func TestVectors(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: k r symbol bytes, SHA-256 of the first, of the last and of all parity symbols\n", Name)
	for _, v := range [][4]int{{1024, 1024, 1408, 1024 * 1408}, {1024, 1024, 1408, 1023*1408 + 1}, {1, 1024, 1408, 5},
		{7, 1024, 1408, 6*1408 + 700},
		{600, 1024, 1408, 600 * 1408}, {192, 64, 64, 192 * 64}, {4096, 512, 128, 4096 * 128}} {
		p, all, err := testCode(t, v[0], v[1], v[2]).Encode(source(v[3]), nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d %d %d %d %x %x %x\n", v[0], v[1], v[2], v[3], sha256.Sum256(p[0]),
			sha256.Sum256(p[len(p)-1]), sha256.Sum256(all))
	}
	if *update {
		if err := os.WriteFile("testdata/vectors.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the code computes other parity than it did:\n%s", b.String())
	}
}

func TestAnyKOfThem(t *testing.T) {
	for _, c := range []struct{ k, r, symbol, size, lost int }{
		{1024, 1024, 1408, 1024 * 1408, 51}, {1024, 1024, 1408, 1024 * 1408, 1024},
		{1024, 1024, 1408, 1023*1408 + 1, 1}, {5, 1024, 64, 300, 5}, {1, 9, 64, 1, 1}, {1, 9, 64, 64, 0},
	} {
		t.Run(fmt.Sprintf("k=%d size=%d lost=%d", c.k, c.size, c.lost), func(t *testing.T) {
			code := testCode(t, c.k, c.r, c.symbol)
			want := source(c.size)
			parity, _, err := code.Encode(want, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := code.Block(c.size)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			come := rng.Perm(c.k)[c.lost:]
			for _, e := range rng.Perm(c.r)[:c.lost] {
				come = append(come, c.k+e)
			}
			rng.Shuffle(len(come), func(i, j int) { come[i], come[j] = come[j], come[i] })
			for i, e := range come {
				if _, err := b.Bytes(); err == nil {
					t.Fatalf("whole after %d symbols", i)
				}
				var p []byte
				if e >= c.k {
					p = parity[e-c.k]
				} else {
					p = want[e*c.symbol : min((e+1)*c.symbol, len(want))]
				}
				if used, err := b.Add(e, p); !used || err != nil {
					t.Fatalf("symbol %d: %v, %v", e, used, err)
				}
				if used, err := b.Add(e, p); used || err != nil {
					t.Fatalf("symbol %d again: %v, %v", e, used, err)
				}
			}
			got, err := b.Bytes()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
			if got, err = b.Bytes(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("a second time: %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, c := range [][3]int{{0, 1, 64}, {1, 0, 64}, {65000, 1000, 64}, {1, 1, 63}, {1, 1, 0},
		{-1, 5, 64}, {1, 1, 96}} {
		if _, err := New(c[0], c[1], c[2]); !errors.Is(err, ErrSize) {
			t.Errorf("New(%v) = %v, want ErrSize", c, err)
		}
	}
	code := testCode(t, 4, 4, 64)
	for _, n := range []int{-1, 0, 192, 257} {
		if _, err := code.Block(n); !errors.Is(err, ErrSize) {
			t.Errorf("a block of %d: %v, want ErrSize", n, err)
		}
	}
	b, err := code.Block(200)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ esi, n int }{{-1, 64}, {8, 64}, {0, 63}, {3, 64}, {3, 9}, {4, 8}} {
		if _, err := b.Add(c.esi, make([]byte, c.n)); !errors.Is(err, ErrSize) {
			t.Errorf("symbol %d of %d bytes: %v, want ErrSize", c.esi, c.n, err)
		}
	}
	if _, _, err := code.Encode(make([]byte, 257), nil); !errors.Is(err, ErrSize) {
		t.Errorf("encoding too much: %v", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	code := testCode(b, 1024, 1024, 1408)
	src := source(1024 * 1408)
	var buf []byte
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		_, buf, _ = code.Encode(src, buf)
	}
}

func BenchmarkDecode(b *testing.B) {
	code := testCode(b, 1024, 1024, 1408)
	src := source(1024 * 1408)
	parity, _, _ := code.Encode(src, nil)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		blk, _ := code.Block(len(src))
		for i := range 1024 {
			if i%20 == 0 {
				blk.Add(1024+i, parity[i])
			} else {
				blk.Add(i, src[i*1408:(i+1)*1408])
			}
		}
		if _, err := blk.Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}
