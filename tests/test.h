/*
 * The only way tests include cmocka: it needs four headers before it, and sorting breaks that.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format keeps this last */
#include <cmocka.h>
