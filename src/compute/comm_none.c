/* comm_none: a program without NCCL; numbers go by the driver's copies. */
#include "compute/comm_in.h"

bool comm_has_nccl(void) { return false; }

bool comm_can_join(const comm *c)
{
    (void)c;
    return false;
}

bool comm_join(comm *c, err *e)
{
    (void)e;
    c->joined = NULL;
    return true;
}

void comm_leave(comm *c) { (void)c; }

bool comm_carry(comm *c, const comm_parcel *parcel, int32_t n, err *e)
{
    (void)c, (void)parcel, (void)n;
    return err_set(e, ERR_OTHER, "this program was built without NCCL");
}

bool comm_settle(comm *c, err *e)
{
    (void)c;
    return err_set(e, ERR_OTHER, "this program was built without NCCL");
}
