#include "backends/linux/bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/*
 * The subset is the one of the kernel's seccomp_check_filter(): loads of whole words at multiples
 * of four inside struct seccomp_data, arithmetic without overflowing shifts or division by a zero
 * constant, forward jumps, 16 words of scratch memory. Like the kernel, we check all of a program
 * before we run any of it; only then can the interpreter do without checks of its own.
 *
 * Scratch words are zero at the start here, while the kernel refuses to read what may not have
 * been written; a foreign program that got past the kernel never shows the difference.
 */

#define MEMORY_WORDS 16

static bool jump_is_good(const struct sock_filter *instruction, size_t left)
{
	/* left: instructions behind this one. An offset of left - 1 is the last of them. */
	if (BPF_OP(instruction->code) == BPF_JA) {
		return instruction->k < left;
	}
	return instruction->jt < left && instruction->jf < left;
}

static bool arithmetic_is_good(const struct sock_filter *instruction)
{
	bool constant = BPF_SRC(instruction->code) == BPF_K;

	switch (BPF_OP(instruction->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
		return true;
	case BPF_DIV:
		return !constant || instruction->k != 0;
	case BPF_LSH:
	case BPF_RSH:
		return !constant || instruction->k < 32;
	case BPF_NEG:
		return constant;
	default:
		return false;
	}
}

static bool instruction_is_good(const struct sock_filter *instruction, size_t left)
{
	switch (instruction->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return instruction->k < sizeof(struct seccomp_data) && instruction->k % 4 == 0;
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
		return true;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return instruction->k < MEMORY_WORDS;
	case BPF_JMP | BPF_JA:
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JEQ | BPF_X:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_X:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_X:
	case BPF_JMP | BPF_JSET | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_X:
		return jump_is_good(instruction, left);
	default:
		return BPF_CLASS(instruction->code) == BPF_ALU && instruction->code <= 0xff &&
			arithmetic_is_good(instruction);
	}
}

static bool program_is_good(const struct sock_filter *program, size_t count)
{
	if (count == 0 || count > BPF_MAXINSNS) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (!instruction_is_good(&program[i], count - 1 - i)) {
			return false;
		}
	}
	return BPF_CLASS(program[count - 1].code) == BPF_RET;
}

/* False: division by a zero in X, at which the kernel's filter returns 0. */
static bool calculate(uint16_t code, uint32_t *accumulator, uint32_t operand)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		*accumulator += operand;
		break;
	case BPF_SUB:
		*accumulator -= operand;
		break;
	case BPF_MUL:
		*accumulator *= operand;
		break;
	case BPF_DIV:
		if (operand == 0) {
			return false;
		}
		*accumulator /= operand;
		break;
	case BPF_OR:
		*accumulator |= operand;
		break;
	case BPF_AND:
		*accumulator &= operand;
		break;
	case BPF_XOR:
		*accumulator ^= operand;
		break;
	case BPF_LSH:
		*accumulator <<= operand & 31;
		break;
	case BPF_RSH:
		*accumulator >>= operand & 31;
		break;
	case BPF_NEG:
		*accumulator = -*accumulator;
		break;
	}
	return true;
}

static bool compare(uint16_t code, uint32_t accumulator, uint32_t operand)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return accumulator == operand;
	case BPF_JGT:
		return accumulator > operand;
	case BPF_JGE:
		return accumulator >= operand;
	default:
		return accumulator & operand;
	}
}

struct machine {
	const struct seccomp_data *data;
	uint32_t a, x, memory[MEMORY_WORDS];
};

static uint32_t load(const struct machine *machine, const struct sock_filter *instruction)
{
	uint32_t word;

	switch (BPF_MODE(instruction->code)) {
	case BPF_ABS:
		memcpy(&word, (const char *)machine->data + instruction->k, sizeof(word));
		return word;
	case BPF_LEN:
		return sizeof(struct seccomp_data);
	case BPF_MEM:
		return machine->memory[instruction->k];
	default:
		return instruction->k;
	}
}

/* Runs one instruction. True: *ret holds what the program returned. */
static bool step(
	struct machine *machine, const struct sock_filter *instruction, size_t *skip, uint32_t *ret)
{
	uint32_t operand = BPF_SRC(instruction->code) == BPF_X ? machine->x : instruction->k;

	*skip = 0;
	switch (BPF_CLASS(instruction->code)) {
	case BPF_LD:
		machine->a = load(machine, instruction);
		break;
	case BPF_LDX:
		machine->x = load(machine, instruction);
		break;
	case BPF_ST:
		machine->memory[instruction->k] = machine->a;
		break;
	case BPF_STX:
		machine->memory[instruction->k] = machine->x;
		break;
	case BPF_ALU:
		if (!calculate(instruction->code, &machine->a, operand)) {
			*ret = 0;
			return true;
		}
		break;
	case BPF_JMP:
		if (BPF_OP(instruction->code) == BPF_JA) {
			*skip = instruction->k;
		} else {
			*skip = compare(instruction->code, machine->a, operand) ? instruction->jt
										: instruction->jf;
		}
		break;
	case BPF_MISC:
		if (BPF_MISCOP(instruction->code) == BPF_TAX) {
			machine->x = machine->a;
		} else {
			machine->a = machine->x;
		}
		break;
	case BPF_RET:
		*ret = BPF_RVAL(instruction->code) == BPF_A ? machine->a : instruction->k;
		return true;
	}
	return false;
}

int filter_evaluate(const struct sock_filter *program, size_t count,
	const struct seccomp_data *data, uint32_t *ret_action)
{
	struct machine machine = {.data = data};
	size_t skip;

	if (!program_is_good(program, count)) {
		return -EINVAL;
	}
	for (size_t i = 0; i < count; i += 1 + skip) {
		if (step(&machine, &program[i], &skip, ret_action)) {
			return 0;
		}
	}
	return -EINVAL; /* not reached: jumps stay inside and the last instruction returns */
}
