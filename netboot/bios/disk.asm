# Starts the disk of a PC with BIOS that has a certain GPT or MBR, or the first one that has a boot program.
#
# A PXE loader calls this as a network bootstrap program: one copy at 0:7c00, far call, interrupts on (PXE 2.1 section 4.4).
# It moves to 0:0600, as boot sectors do, because 0:7c00 is where the disk's own boot sector belongs. Where no disk is
# the right one it returns to its caller.
#
#	as --32 -o disk.o disk.asm && ld -m elf_i386 -Ttext 0x600 --oformat binary -o disk.bin disk.o

	.code16
	.set	own, 0x600		# where the program runs
	.set	sector, 0x7c00		# where sectors are read to
	.set	last, 0x90		# drives 0x80 to 0x8f are asked

	.globl	_start
_start:
	pushal
	pushw	%ds
	pushw	%es
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	$sector, %si
	movw	$own, %di
	movw	$256, %cx
	rep movsw
	ljmp	$0, $moved
moved:
	sti

try:					# drive is the next one to ask
	movb	drive, %dl
	movb	$0x41, %ah		# are there the extensions? (EDD 3.0 section 3.3)
	movw	$0x55aa, %bx
	int	$0x13
	jc	next
	cmpw	$0xaa55, %bx
	jne	next

	movb	kind, %al
	decb	%al
	jz	boot
	jns	dos
	movl	$1, %eax		# the GPT's header is in sector 1 (UEFI 2.10 table 5.5)
	call	read
	jc	next
	movw	$signature, %si
	movw	$sector, %di
	movw	$8, %cx
	repe cmpsb
	jne	next
	movw	$id, %si
	movw	$sector + 56, %di
	movw	$16, %cx
	repe cmpsb
	jne	next
	jmp	boot

dos:
	xorl	%eax, %eax
	call	read
	jc	next
	movl	id, %eax
	cmpl	%eax, sector + 440	# the disk signature (UEFI 2.10 table 5.1)
	jne	next

boot:
	xorl	%eax, %eax
	call	read
	jc	next
	cmpw	$0xaa55, sector + 510
	jne	next
	cmpw	$0, sector		# a table without a program, as on a disk of data: it would hang
	je	next
	movb	drive, %dl
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$sector, %sp
	ljmp	$0, $sector

next:
	incb	drive
	cmpb	$last, drive
	jb	try
	popw	%es
	popw	%ds
	popal
	movw	$1, %ax			# PXENV_EXIT_FAILURE
	lret

read:					# sector %eax of drive, carry set where it cannot be read
	movl	%eax, lba
	movb	$3, tries
1:
	movw	$1, count		# the BIOS leaves here how many it read
	movb	drive, %dl
	movb	$0x42, %ah		# EDD 3.0 section 3.4
	movw	$packet, %si
	int	$0x13
	jnc	2f
	movb	drive, %dl
	movb	$0, %ah			# reset the controller
	int	$0x13
	decb	tries
	jnz	1b
	stc
2:
	ret

signature:
	.ascii	"EFI PART"
drive:
	.byte	0x80
tries:
	.byte	0
packet:
	.byte	16, 0
count:
	.word	1
	.word	sector, 0
lba:
	.long	0, 0

# What the server fills in.
kind:
	.byte	0			# 0: the disk with this GPT; 1: the first one with a program; 2: that with this MBR
id:
	.fill	16			# GUID as it is in the header, or disk signature of an MBR in the first 4 bytes
