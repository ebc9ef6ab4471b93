/* The header compiles without another one before it. */
#include "playswarm.h"

extern uint32_t version_of_the_header(void);
uint32_t version_of_the_header(void) { return PLAYSWARM_ABI_VERSION; }
