-- Forecasting revenue change: what small discounts of one year cost. The bounds of the discount are written
-- as their values: 0.06 - 0.01 is not 0.05 where literals are doubles.
select sum(l_extendedprice * l_discount) as revenue
from lineitem
where l_shipdate >= date '1994-01-01'
  and l_shipdate < date '1994-01-01' + interval '1' year
  and l_discount between 0.05 and 0.07
  and l_quantity < 24
