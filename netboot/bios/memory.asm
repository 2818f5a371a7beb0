# Tells a PXE loader whether a PC with BIOS has enough memory: returns 0 where it has, 1 where it has not.
#
#	as --32 -o memory.o memory.asm && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o memory.bin memory.o

	.code16
	.globl	_start
_start:
	pushal
	pushw	%ds
	xorw	%ax, %ax
	movw	%ax, %ds
	xorw	%bx, %bx
	xorw	%cx, %cx
	xorw	%dx, %dx
	movw	$0xe801, %ax		# memory above 16 MiB, in BX or DX by who made the BIOS, in units of 64 KiB
	int	$0x15
	jc	enough			# not known: let it try
	testw	%dx, %dx
	jz	1f
	movw	%dx, %bx
1:
	cmpw	need, %bx
	jb	short
enough:
	popw	%ds
	popal
	xorw	%ax, %ax		# PXENV_EXIT_SUCCESS
	lret
short:
	popw	%ds
	popal
	movw	$1, %ax			# PXENV_EXIT_FAILURE
	lret

# What the server fills in: how much there must be above 16 MiB, in units of 64 KiB.
need:
	.word	0
