// Package bios makes small programs that iPXE runs on a PC with BIOS, for tasks that iPXE itself cannot do.
//
// Call [StartDisk] for the program that starts the right disk, or [HasMemory] for the one that checks the memory. Both
// are PXE network bootstrap programs; iPXE runs them with chain or imgexec. When a program returns, that command ends:
// with success if the program returned 0, else with an error, so that || works in a script.
//
//	0                    244         245                              261
//	+--------------------+-----------+--------------------------------+
//	| disk.asm           | kind, u8  | GUID of a GPT, 16 B, or        |
//	|                    |           | signature of an MBR, 4 B, zero |
//	+--------------------+-----------+--------------------------------+
//	| memory.asm         | u16: 64 KiB above 16 MiB       |
//	+--------------------+--------------------------------+
//	0                    45                               47
//
// This package has the programs as bytes, and their source. A test assembles the source and compares.
//
// Sources: PXE 2.1 section 4.4 (how a program is called), EDD 3.0 sections 3.3 and 3.4 (functions 41h and 42h of
// interrupt 13h), UEFI 2.10 tables 5.1 (the MBR) and 5.5 (the GPT's header) and appendix A (byte order of a GUID), the
// kernel's arch/x86/boot/memory.c (function E801h of interrupt 15h).
package bios
